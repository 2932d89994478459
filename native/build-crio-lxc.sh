#!/bin/sh
# Builds the command crio-lxc, which starts the executable atomfs beside it: native/build-crio-lxc.sh OUTPUT
set -eu
cd "$(dirname "$0")"
exec "${CC:-gcc}" -std=c11 -D_GNU_SOURCE -O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2 -Wall -Wextra -Wshadow -Wvla -Werror \
  -static -s -o "$1" crio-lxc.c
