#!/usr/bin/env bash
# fuzz/run.sh [FILE...]: libFuzzer with AddressSanitizer over the pure parsers, SECONDS (make fuzz
# SECONDS=60; default 60) a target. Each fuzz/fuzz_NAME.c states how it is built in a comment line
# "Build: clang ... -o PROGRAM", run from the repository's root (the lines that follow belong to it
# while one ends in a backslash). Corpora stay in fuzz/build/corpus_NAME/, inputs that crash in
# fuzz/build/crashes/.
set -uo pipefail
# bash counts in SECONDS; what the caller set is in the environment that it gave
seconds=$(tr '\0' '\n' </proc/$$/environ | sed -n 's/^SECONDS=//p')
. "$(dirname "$0")/../tools/lib.sh"
PG_CONFIG=$(find_pg_config) || die 'no PostgreSQL server was found; run tools/setup.sh'
export PG_CONFIG PATH="$("$PG_CONFIG" --bindir):$PATH"
command -v clang >/dev/null || die 'clang is missing'
cd "$ROOT" || exit 1
[ $# -gt 0 ] || set -- fuzz/fuzz_*.c
[ -e "$1" ] || { say 'no targets'; exit 0; }
mkdir -p fuzz/build/crashes
failed=0
for target; do
  name=$(basename "$target" .c)
  build=$(awk '
    !on && match(tolower($0), /build(ing)?: */) { on = 1; $0 = substr($0, RSTART + RLENGTH); if ($0 ~ /^[ \t]*$/) next }
    on {
      sub(/^[ \t]*\*+[ \t]*/, ""); sub(/[ \t]*\*\/[ \t]*$/, "")
      more = sub(/\\$/, ""); printf "%s ", $0
      if (!more) exit
    }' "$target")
  if [ -z "$build" ]; then
    say "FAILED  $name: it has no line \"Build: ...\""
    failed=1
    continue
  fi
  if ! bash -c "$build" >"fuzz/build/$name.log" 2>&1; then
    say "FAILED  $name does not build: $build"
    cat "fuzz/build/$name.log"
    failed=1
    continue
  fi
  # wherever the line puts the program, it goes to fuzz/build
  program=$(sed -nE 's/.* -o +([^ ]+).*/\1/p' <<<"$build")
  [ "$program" = "fuzz/build/$name" ] || mv "$program" "fuzz/build/$name"
  mkdir -p "fuzz/build/corpus_$name"
  seeds=()
  [ ! -d "fuzz/corpus/${name#fuzz_}" ] || seeds=("fuzz/corpus/${name#fuzz_}")
  # setarch -R: older sanitizers do not start under today's address space randomization
  if setarch -R "fuzz/build/$name" -max_total_time="${seconds:-60}" -timeout=10 -rss_limit_mb=2048 \
      -print_final_stats=1 -artifact_prefix="fuzz/build/crashes/$name-" "fuzz/build/corpus_$name" \
      ${seeds[@]+"${seeds[@]}"} >"fuzz/build/$name.log" 2>&1; then
    say "ok      $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "fuzz/build/$name.log") inputs in ${seconds:-60} s"
  else
    say "FAILED  $name"
    tail -40 "fuzz/build/$name.log"
    failed=1
  fi
done
exit $failed
