#!/usr/bin/env bash
# Finds Chromium and Firefox for the browser tests, and gets them where there are none: by apt-get as root, else unpacked
# from the distribution's packages into a cache folder, without root.
#
#   browsers.sh                         get what is missing, print both programs (idempotent)
#   browsers.sh find chromium|firefox   print the program; fails if there is none. Downloads nothing
#   browsers.sh swiftshader PROGRAM     print the Vulkan driver file of a Chromium's SwiftShader
#
# NFGRAD_CHROMIUM, NFGRAD_FIREFOX   the program to use
# BROWSERS_CACHE     cache folder (default ${XDG_CACHE_HOME:-~/.cache}/nfgrad-browsers)
# BROWSERS_PRIVATE   1: use the cache even where the system has browsers, and no apt-get install
# Tested on Debian 12. Ubuntu has both browsers as snaps alone, which run no test: name other programs there.
set -euo pipefail
say() { echo "browsers: $*" >&2; }
die() { say "$*"; exit 1; }
private=${BROWSERS_PRIVATE:-0}

cache_folder() {
  local ID=linux VERSION_ID=sid
  if [ -r /etc/os-release ]; then . /etc/os-release; fi
  echo "${BROWSERS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/nfgrad-browsers}/$ID-${VERSION_ID:-sid}-$(uname -m)"
}
cache=$(cache_folder)

find_browser() {
  local name own names
  case $1 in
    chromium) own=${NFGRAD_CHROMIUM:-} names="chromium chromium-browser google-chrome" ;;
    firefox) own=${NFGRAD_FIREFOX:-} names="firefox-esr firefox" ;;
    *) die "unknown browser '$1' (chromium or firefox)" ;;
  esac
  if [ -n "$own" ]; then
    [ -x "$own" ] || die "$own cannot be run"
    echo "$own"
    return
  fi
  if [ "$private" != 1 ]; then
    for name in $names; do
      if command -v "$name"; then return; fi
    done
  fi
  [ -f "$cache/ok" ] && echo "$cache/$1/run"
}

# SwiftShader lies beside the program that a launcher script starts.
swiftshader_of() {
  local folder
  for folder in "$(dirname "$(readlink -f "$1")")" /usr/lib/chromium /usr/lib/chromium-browser /opt/google/chrome; do
    if [ -f "$folder/vk_swiftshader_icd.json" ]; then
      echo "$folder/vk_swiftshader_icd.json"
      return
    fi
  done
  return 1
}

# A private apt: the system's own sources and keys, its own lists, no root.
fetch() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || die "needs apt-get and dpkg-deb; install Chromium and Firefox by hand"
  mkdir -p "$cache"
  exec 9>"$cache.lock"
  flock 9
  if [ -f "$cache/ok" ]; then return; fi
  work=$(mktemp -d "$cache.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work"/{lists/partial,archives/partial,debs,root}
  local apt=(-qq -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work" -o "Dir::Cache::archives=$work/archives"
    -o "APT::Sandbox::User=" -o Debug::NoLocking=1 -o APT::Install-Recommends=0)
  say "reading package lists"
  apt-get "${apt[@]}" update >&2
  local own=(chromium chromium-common firefox-esr) p need=()
  # What apt would install here, and the browsers themselves in any case; a bare machine has no fonts either.
  for p in $(apt-get "${apt[@]}" -s install "${own[@]}" fonts-dejavu-core | awk '$1 == "Inst" { print $2 }'); do
    case " ${own[*]} libc6 libc-bin libgcc-s1 dpkg debconf perl-base install-info " in
      *" $p "*) ;;
      *) need+=("$p") ;;
    esac
  done
  need+=("${own[@]}")
  say "downloading ${#need[@]} packages: ${need[*]}"
  (cd "$work/debs" && apt-get "${apt[@]}" download "${need[@]}" >&2)
  local deb
  for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/root"; done
  rm -rf "$cache"/{chromium,firefox,lib,share}
  cp -a "$work/root/usr/lib/chromium" "$cache/chromium"
  cp -a "$work/root/usr/lib/firefox-esr" "$cache/firefox"
  mkdir -p "$cache/lib" "$cache/share"
  # Which of the unpacked libraries they load; NSS loads its modules by name, out of sight of ldd.
  local dirs links
  dirs=$(find "$work/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
  mapfile -t programs < <(find "$cache/chromium" "$cache/firefox" -maxdepth 1 -type f \( -name '*.so' -o -perm -100 \))
  mapfile -t modules < <(find "$work/root" -path '*-linux-gnu*' \( -name 'libsoftokn3.so' -o -name 'libnssckbi.so' -o -name 'libfreebl*.so' \))
  links=$(LD_LIBRARY_PATH=$cache/firefox:$dirs ldd "${programs[@]}" ${modules[@]+"${modules[@]}"} 2>/dev/null || true)
  # Optional parts of the browsers may miss toolkits that nobody starts here; the program itself may miss nothing.
  if LD_LIBRARY_PATH=$cache/firefox:$dirs ldd "$cache/chromium/chromium" "$cache/firefox/libxul.so" | grep 'not found' >&2; then
    die "libraries are missing"
  fi
  awk -v root="$work/root" 'index($3, root) == 1 { print $3 }' <<<"$links" | sort -u | xargs -r cp -L -t "$cache/lib"
  [ ${#modules[@]} = 0 ] || cp -L -t "$cache/lib" "${modules[@]}"
  [ ! -d "$work/root/usr/share/fonts" ] || cp -a "$work/root/usr/share/fonts" "$cache/share/"
  cat >"$cache/share/fonts.conf" <<EOF
<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>$cache/share/fonts</dir><dir>/usr/share/fonts</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
EOF
  launcher chromium chromium
  launcher firefox firefox-esr
  dpkg-deb -f "$(ls "$work"/debs/chromium_*.deb)" Version >"$cache/ok"
  say "Chromium and Firefox in $cache ($(du -sh "$cache" | cut -f1))"
}
launcher() { # folder, program
  cat >"$cache/$1/run" <<EOF
#!/bin/sh
here=\$(dirname "\$0")
export LD_LIBRARY_PATH="\$here/../lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
[ -f /etc/fonts/fonts.conf ] || export FONTCONFIG_FILE="\$here/../share/fonts.conf"
exec "\$here/$2" "\$@"
EOF
  chmod +x "$cache/$1/run"
}

install() {
  find_browser chromium >/dev/null && find_browser firefox >/dev/null && return
  if [ "$private" != 1 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing Chromium and Firefox"
    if apt-get -qq update >&2 &&
      DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install chromium firefox-esr >&2; then
      return
    fi
    say "apt-get failed; unpacking them into a cache instead"
  fi
  fetch
}

case ${1:-install} in
  find) find_browser "${2:-}" || die "no ${2:-browser} found" ;;
  swiftshader) swiftshader_of "${2:-}" || die "${2:-} has no SwiftShader beside it" ;;
  install)
    install
    for browser in chromium firefox; do
      say "$browser: $(find_browser $browser)" || die "$browser is still missing"
    done
    ;;
  *) die "unknown command '$1' (find or swiftshader)" ;;
esac
