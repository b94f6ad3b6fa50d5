#!/usr/bin/env bash
# Finds Chromium and Firefox for the browser tests.
#
#   browsers.sh find chromium|firefox   print the program; fails if there is none
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

case ${1:-} in
  find) find_browser "${2:-}" || die "no ${2:-} found" ;;
  *) die "unknown command '${1:-}' (find)" ;;
esac
