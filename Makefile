# The front door: each of these does all its own set-up. What they do is in scripts/.
.PHONY: help demo test build bench fuzz lint format asan install clean

help:
	@echo 'make demo    build, then run a container with limits and explain it'
	@echo 'make test    every test; what CI does'
	@echo 'make build   the programs and the tests (build/release/bin)'
	@echo 'make bench   start-up time against crun, runc and the floor'
	@echo 'make fuzz    the fuzz targets, for a bounded time (FUZZ_SECONDS=60)'
	@echo 'make lint    formatting and clang-tidy over everything'
	@echo 'make format  rewrite the sources as .clang-format says'
	@echo 'make asan    the unit tests under address and undefined-behaviour sanitizers'
	@echo 'make install the programs (PREFIX=/usr/local, DESTDIR)'

demo test bench fuzz lint format:
	@scripts/$@

build:
	@scripts/build

asan:
	@scripts/test asan

install:
	@scripts/build programs
	@cmake --install build/release $(if $(PREFIX),--prefix '$(PREFIX)')

clean:
	rm -rf build
