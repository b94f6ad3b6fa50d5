#!/usr/bin/env bash
# Finds Chromium and Firefox for the browser tests.
#
#   browsers.sh find chromium|firefox   print the program; fails if there is none
#   browsers.sh swiftshader PROGRAM     print the Vulkan driver file of a Chromium's SwiftShader
#
# NFGRAD_CHROMIUM, NFGRAD_FIREFOX   the program to use
set -euo pipefail
say() { echo "browsers: $*" >&2; }
die() { say "$*"; exit 1; }

find_browser() {
  local name own
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
  for name in $names; do
    if command -v "$name"; then return; fi
  done
  return 1
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

case ${1:-} in
  swiftshader) swiftshader_of "${2:-}" || die "${2:-} has no SwiftShader beside it" ;;
  find) find_browser "${2:-}" || die "no ${2:-} found" ;;
  *) die "unknown command '${1:-}' (find or swiftshader)" ;;
esac
