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
# Two things that ASan cannot do with PostgreSQL and libjwt as they are:
# - it looks for swift_demangle() when it starts, which is inside a library's first malloc(), under a
#   lock that glibc takes again to word the error that the function is missing: a deadlock;
# - it refuses RTLD_DEEPBIND, without which libjwt's JSON library would call functions of the server
#   that have the same names: libjwt is not there, then, and OpenSSL does its part.
gcc -shared -fPIC -w -x c -o "$WORK/shim.so" - <<'C' || die 'gcc made no library'
#define _GNU_SOURCE
#include <dlfcn.h>
char *swift_demangle(void) { return 0; }
void *dlopen(const char *file, int mode)
{
  void *(*next)(const char *, int) = (void *(*)(const char *, int)) dlsym(RTLD_NEXT, "dlopen");
  return (mode & RTLD_DEEPBIND) ? 0 : next(file, mode);
}
C
# leaks: the server leaves memory to exit(); a moved stack would upset check_stack_depth()
# randomized addresses: older runtimes do not start under today's wide randomization
wrap_server "case \"\$1\" in --boot|--single|--check) exec -a \"\$0\" \"\$server\" \"\$@\";; esac
[ -n \"\$smart_fhir_fixed\" ] || smart_fhir_fixed=1 exec setarch -R \"\$0\" \"\$@\"
export LD_PRELOAD='$WORK/shim.so $(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)'
export ASAN_OPTIONS='verify_asan_link_order=0:detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=1:log_path=$reports/asan'
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
