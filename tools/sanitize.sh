#!/usr/bin/env bash
# tools/sanitize.sh: test/run.sh with AddressSanitizer and UBSan in the extension (SUITES picks). The
# server is a private copy that is started with gcc's runtimes preloaded; what they find ends the
# backend, is printed, and fails the run. PostgreSQL's own allocations are in large blocks, so an
# overrun inside one is not seen; tools/valgrind.sh does not see it either, a server built with
# USE_VALGRIND would.
set -uo pipefail
. "$(dirname "$0")/lib.sh"
PG_CONFIG=$(find_pg_config) || die 'no PostgreSQL server was found; run tools/setup.sh'
private_dir
private_installation
fresh_tree
share_data
reports=$WORK/reports
mkdir "$reports"
chmod 1777 "$reports"
# ASan looks for this function when it starts, which is inside a library's first malloc(), under the
# lock that glibc takes again to word the error that the function is missing: a deadlock
printf 'char *swift_demangle(void) { return 0; }' |
  gcc -shared -fPIC -x c -o "$WORK/swift.so" - || die 'gcc made no library'
# leaks: the server leaves memory to exit(); a moved stack would upset check_stack_depth()
# randomized addresses: older runtimes do not start under today's wide randomization
wrap_server "case \"\$1\" in --boot|--single|--check) exec -a \"\$0\" \"\$server\" \"\$@\";; esac
[ -n \"\$smart_fhir_fixed\" ] || smart_fhir_fixed=1 exec setarch -R \"\$0\" \"\$@\"
export LD_PRELOAD='$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so) $WORK/swift.so'
export ASAN_OPTIONS='detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=1:log_path=$reports/asan'
export UBSAN_OPTIONS='print_stacktrace=1:halt_on_error=1:abort_on_error=1:log_path=$reports/ubsan'
exec -a \"\$0\" \"\$server\" \"\$@\""
COPT='-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -g -U_FORTIFY_SOURCE' WERROR='' \
  bash "$WORK/tree/test/run.sh"
status=$?
[ $status = 0 ] || keep_results
for report in "$reports"/*; do
  [ -s "$report" ] || continue
  cat "$report"
  status=1
done
exit $status
