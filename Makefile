# The same doors as ./dev, for those who have make: make test, make test PRESET=tsan, make soak...
PRESET ?=

all: build
build test:
	./dev $@ $(PRESET)
demo bench fuzz soak coverage arm64 lint format:
	./dev $@
clean:
	rm -rf build
.PHONY: all build test demo bench fuzz soak coverage arm64 lint format clean
