#!/bin/sh
# Builds the player, a static executable: native/build.sh OUTPUT [FLAG...]
set -eu
output=$1
shift
cd "$(dirname "$0")"
exec "${CC:-gcc}" -std=c11 -D_GNU_SOURCE -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong \
  -Wall -Wextra -Wshadow -Wvla -Werror -static -s "$@" -o "$output" \
  player.c control.c program.c paths.c mounts.c copy_up.c identity.c console.c hook.c execute.c
