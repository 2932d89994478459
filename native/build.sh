#!/bin/sh
# Builds the player: native/build.sh OUTPUT [sanitized]
# A static executable; "sanitized" is for tests only: it ends at the first wrong access or undefined behaviour.
set -eu
output=$1
flags='-static -s -D_FORTIFY_SOURCE=2'
if [ "${2:-}" = sanitized ]; then
  flags='-g -fsanitize=address,undefined -fno-sanitize-recover=all -static-libasan -static-libubsan sanitizer.c'
fi
case $output in /*) ;; *) output=$PWD/$output ;; esac
cd "$(dirname "$0")"
# shellcheck disable=SC2086 # the flags are words
exec "${CC:-gcc}" -std=c11 -D_GNU_SOURCE -O2 -fstack-protector-strong -Wall -Wextra -Wshadow -Wvla -Werror \
  $flags -o "$output" \
  player.c control.c program.c paths.c mounts.c copy_up.c runtime_tree.c identity.c console.c hook.c execute.c
