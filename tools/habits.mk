# tools/habits.mk: the targets a contributor uses; "make help" prints them.

.PHONY: help check format lint bench fuzz coverage
help:
	@echo 'make                    build the extension'
	@echo 'make install            install it (as root, or with sudo)'
	@echo 'make installcheck       pg_regress and isolation tests against a running server'
	@echo 'make check              everything: set up, build, private cluster, all tests'
	@echo 'make prove_installcheck TAP tests only (PROVE_TESTS=... picks files)'
	@echo 'make format             clang-format over src/'
	@echo 'make lint               gcc and clang with -Werror, clang-tidy, cppcheck'
	@echo 'make bench              bench/run.sh: ratios against named baselines'
	@echo 'make fuzz               libFuzzer over the pure parsers (SECONDS=60)'
	@echo 'make coverage           line coverage of the test run'

check:
	test/run.sh
format:
	tools/format.sh
lint:
	tools/lint.sh
bench:
	bench/run.sh
fuzz:
	fuzz/run.sh
coverage:
	tools/coverage.sh
