# Everything a person types. `make help` lists it.
.DEFAULT_GOAL := help
STACK ?= local
PYTHON ?= python3
VENV := .venv
AUDIT := .venv-audit
MUTMUT := .venv-mutation
RUN := $(VENV)/bin/python
CACHE := $(or $(SOVEREIGN_HARBOR_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sovereign-harbor)
# A run is many short processes: where this is set, each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
# Downloaded wheels go to the cache folder too, not to the home folder. They are compiled when they
# are imported: to compile all that the SDKs hold is half of an installation. The lock names all that
# is needed. Without --no-deps, pip 23 asks the registry for `coverage[toml]`, which the lock has
# as `coverage`, and refuses the newest version of it for having no hash here.
PIP := PIP_CACHE_DIR=$(CACHE)/pip PIP_DISABLE_PIP_VERSION_CHECK=1 $(RUN) -m pip install --quiet --require-hashes --no-deps --no-compile

.PHONY: help up down status env tools build smoke conformance clean clean-caches clean-tools test test-unit coverage test-sandbox \
	test-harbor fuzz chaos mutation check fix reference lock sbom audit bench fresh-machine

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# An estate has a sandbox of its own; down, status, env, smoke and clean take STACK=… too.
up: $(VENV)/program ## Bring a Sovereign up in the sandbox (STACK=… a real one; with SANDBOX=1 here)
	@$(RUN) -m sandbox up --stack $(STACK) $(if $(SANDBOX),--sandbox)

down: $(VENV)/program ## End every process of the sandbox
	@$(RUN) -m sandbox down --stack $(STACK)

status: $(VENV)/program ## Show what runs and where the tools are
	@$(RUN) -m sandbox status --stack $(STACK)

env: $(VENV)/program ## Print what eval needs to put tools and sandbox into a shell
	@$(RUN) -m sandbox env --stack $(STACK)

tools: $(VENV)/program ## Print what eval needs to put pulumi, as it is here, into a shell
	@$(RUN) -m engine.tools

smoke: $(VENV)/program ## Push an image through Harbor's registry and pull it back
	@$(RUN) -m sandbox smoke --stack $(STACK)

conformance: $(VENV)/program ## Run OCI's conformance tests on the registry of the sandbox that is up
	@$(RUN) -m sandbox conformance --stack $(STACK)

clean: $(VENV)/program ## End the sandbox and remove all it wrote
	@$(RUN) -m sandbox clean --stack $(STACK)

clean-caches: ## Remove what an interrupted build or KEEP_CACHES=1 left (up to 20 GB), keep the tools
	@$(PYTHON) -m toolchain clean caches

clean-tools: ## Remove the cache of built tools
	@$(PYTHON) -m toolchain clean

# The tools first: unit tests of the Kubernetes client run kubectl, and are skipped without it.
test: check build test-unit test-sandbox ## Run everything

check: $(VENV)/development ## Lint, types, layers, workflows
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/lint-imports
	@$(RUN) -m checks.vendor_coupling
	@$(VENV)/bin/zizmor --offline --quiet .github/workflows
	@$(VENV)/bin/pyright

fix: $(VENV)/development ## Format, and mend what the linter can mend
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

reference: $(VENV)/development ## Write the references of settings and versions, and the schema, anew
	@$(RUN) -m checks.settings_reference --write
	@$(RUN) -m checks.stack_file_schema --write
	@$(RUN) -m checks.versions_table --write

test-unit: $(VENV)/development ## Tests without the sandbox
	@$(VENV)/bin/pytest --numprocesses auto --dist loadfile $(COVERAGE) tests/unit

# A target of its own: the tracer of Python 3.11 doubles the processor time. From 3.12 on
# sys.monitoring costs little. The packages and the floor are in pyproject.toml.
coverage: COVERAGE := --cov --cov-report=term:skip-covered
coverage: export COVERAGE_CORE = $(shell $(RUN) -c $(TRACER))
coverage: test-unit ## The same with what they cover, and a floor
TRACER := 'import sys; print("sysmon" if hasattr(sys, "monitoring") else "ctrace")'

# Other cases each time. A failure ends with the seed: make fuzz FUZZ_SEED=… repeats the run.
fuzz: $(VENV)/development ## Random stack files and answers, many more than the suite has (FUZZ_CASES=10000)
	@echo "seed $(FUZZ_SEED), $(FUZZ_CASES) cases"
	@FUZZ_CASES=$(FUZZ_CASES) $(VENV)/bin/pytest --numprocesses auto --dist loadgroup \
		--hypothesis-seed=$(FUZZ_SEED) -m fuzz tests/unit
FUZZ_CASES ?= 10000
FUZZ_SEED ?= $(shell $(PYTHON) -c 'import secrets; print(secrets.randbelow(10**9))')
fuzz: FUZZ_SEED := $(FUZZ_SEED)

build: $(VENV)/development ## Build the tools that the machine lacks
	@$(RUN) -m toolchain build

test-sandbox: build ## Tests by the real engine
	@$(VENV)/bin/pytest --numprocesses $(SANDBOXES) --dist loadfile --no-loadscope-reorder \
		tests/sandbox tests/render
# Each has a control plane of its own, about 2 GiB, and keeps most of a processor busy. Files are
# begun in their order, each in the sandbox that is free: short ones last, so that both end at once.
SANDBOXES ?= 2

test-harbor: build ## Day 2 of the registry against a real, empty Harbor (SANDBOX_HARBOR_API=http://host:port)
	@$(if $(and $(SANDBOX_HARBOR_API),$(SANDBOX_HARBOR_ADMIN_PASSWORD)),,$(info $(NO_HARBOR))exit 2)
	@$(VENV)/bin/pytest tests/sandbox/test_registry_kinds.py -k "real"
# Besides: SANDBOX_HARBOR_UPSTREAM=http://host, a registry that this Harbor reaches, if not ghcr.io.
NO_HARBOR := nothing tested: no real Harbor is named. Set SANDBOX_HARBOR_API=http://host:port and \
	SANDBOX_HARBOR_ADMIN_PASSWORD; the tests change its settings and schedules, so it has to be an empty one

# Each fault once, unless a number of tries (CHAOS_FAULTS) or of seconds (CHAOS_SECONDS) is given.
# CHAOS_SEED repeats a run's faults, CHAOS_ONLY names some of them (python -m chaos --help), and
# CHAOS_PAGE= leaves docs/reference/reliability.md as it is. CHAOS_RECORD=file: the page tells also what
# former runs left there, and this one adds to it.
chaos: build ## Inject faults and write what became of them (CHAOS_SECONDS=3600 or CHAOS_FAULTS=n)
	@$(RUN) -m chaos $(if $(CHAOS_FAULTS),--faults $(CHAOS_FAULTS)) \
		$(if $(CHAOS_SECONDS),--seconds $(CHAOS_SECONDS)) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED)) \
		$(foreach name,$(CHAOS_ONLY),--only $(name)) --workers $(SANDBOXES) $(if $(CHAOS_PAGE),--page) \
		$(if $(CHAOS_RECORD),--record $(CHAOS_RECORD))
CHAOS_PAGE ?= 1

# MUTANTS of each area; the same SEED draws the same ones of the same code. PAGE=1 writes
# docs/reference/mutation.md. The generator's own tests need mutmut, so they run here.
mutation: $(VENV)/development $(MUTMUT)/installed ## Change the code, and count what the tests notice (ONLY="sealing network" MUTANTS=60 SEED=n)
	@$(MUTMUT)/bin/python -m pytest --quiet --noconftest -o addopts= -o filterwarnings= \
		-p no:cacheprovider tests/unit/mutation/test_mutants.py
	@$(RUN) -m mutation --mutmut $(MUTMUT)/bin/python $(if $(ONLY),--only $(ONLY)) \
		$(if $(MUTANTS),--mutants $(MUTANTS)) $(if $(SEED),--seed $(SEED)) $(if $(PAGE),--page)

# ONLY="noop program" for some of them, QUICK=1 for fewer repetitions, COLD=1 to build all tools anew.
bench: build ## Measure, and write the tables of docs/reference/benchmarks.md (ONLY=… QUICK=1 COLD=1)
	@$(RUN) -m benchmarks $(ONLY) $(if $(QUICK),--quick) $(if $(COLD),--cold)

# CACHE=folder uses a cache of tools; without it all of them are built, in 20 minutes on 2 processors.
# README=1 writes the figures into README.md.
fresh-machine: ## Clone into an empty home, run up, test and down there, and time each (CACHE=… README=1)
	@$(PYTHON) -m checks.fresh_machine $(if $(filter command line,$(origin CACHE)),--cache "$(CACHE)") \
		$(if $(README),--readme) $(if $(STEPS),--steps $(STEPS))

lock: ## Pin the requirements anew (needs uv)
	uv pip compile $(LOCK) pyproject.toml --group sandbox --group dev -o requirements-dev.lock
	uv pip compile $(LOCK) pyproject.toml --group sandbox -c requirements-dev.lock -o requirements.lock
	uv pip compile $(LOCK) --group audit -o requirements-audit.lock
	uv pip compile $(LOCK) --group mutation -o requirements-mutation.lock
LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url --no-emit-find-links

sbom: $(AUDIT)/installed ## Write what the program is made of, as CycloneDX JSON (OUTPUT=file)
	@$(AUDIT)/bin/python -m checks.sbom "$(or $(OUTPUT),sbom.json)"

# Fails also where not all could be looked up, and says so: NOT CHECKED.
audit: $(AUDIT)/installed ## Look up known vulnerabilities of the locked Python packages
	@$(AUDIT)/bin/python -m checks.audit requirements-dev.lock requirements-audit.lock \
		requirements-mutation.lock

# Environments of their own: nothing else needs these tools and what they bring.
$(AUDIT)/installed $(MUTMUT)/installed: .venv-%/installed: requirements-%.lock
	@$(PYTHON) -m venv .venv-$*
	@PIP_CACHE_DIR=$(CACHE)/pip PIP_DISABLE_PIP_VERSION_CHECK=1 .venv-$*/bin/pip install --quiet \
		--require-hashes --no-deps --no-compile -r requirements-$*.lock
	@touch $@

$(VENV)/bin/python:
	@echo "Python environment …"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/program: requirements.lock | $(VENV)/bin/python
	@$(PIP) -r requirements.lock
	@$(RUN) -m pip check --quiet
	@touch $@

$(VENV)/development: requirements-dev.lock | $(VENV)/bin/python
	@$(PIP) -r requirements-dev.lock
	@$(RUN) -m pip check --quiet
	@touch $@ $(VENV)/program

# --- Reviewed before it runs, and many at once ---------------------------------------------------
# STACKS="omantel otech" for some, PARALLEL=n at a time, REPORT=file for JSON, OUTPUT=folder for
# the previews' Markdown, BASE=origin/main to preview what differs from a branch. DOCTOR=1 for what
# the doctor finds on each, with the status.
.PHONY: preview fleet-preview fleet-up fleet-drift fleet-status fleet-operator sovereign \
	registry-export bundle deployer-role restore-drill doctor bucket-truth bucket-sweep stacks sovereigns \
	gitlab-sovereigns

preview: $(VENV)/development ## Preview STACK=… for people, with the policy pack (OUTPUT=file BASE=origin/main)
	@$(RUN) -m review $(STACK) $(if $(OUTPUT),--output $(OUTPUT)) $(if $(BASE),--base "$$BASE")

fleet-preview: ## Preview every Sovereign
fleet-up: ## Bring every Sovereign up that passes its preview
fleet-drift: ## Compare every Sovereign with its state, changing nothing
fleet-status: ## Show what the backend knows of every Sovereign
fleet-preview fleet-up fleet-drift fleet-status: $(VENV)/development
	@$(RUN) -m fleet $(@:fleet-%=%) $(STACKS) $(if $(PARALLEL),--parallel $(PARALLEL)) \
		$(if $(REPORT),--report $(REPORT)) $(if $(OUTPUT),--output $(OUTPUT)) \
		$(if $(BASE),--base "$$BASE") $(if $(DOCTOR),--doctor)

fleet-operator: $(VENV)/program ## Stacks for the Kubernetes Operator (REPOSITORY=… BACKEND=…)
	@$(RUN) -m fleet operator --repository "$(REPOSITORY)" --backend "$(BACKEND)" \
		--commit "$(or $(COMMIT),$(shell git rev-parse HEAD))" --namespace "$(or $(NAMESPACE),pulumi)"

# KIND=hetzner (unless set) takes REGION; s3: ENDPOINT REGION; aws: REGION ACCOUNTID; gcs: BUCKET;
# azure: ACCOUNT CONTAINER; filesystem: SIZE STORAGECLASS. BUCKET is NAME-harbor unless set.
sovereign: $(VENV)/program ## Write the stack file of a new one (NAME=… FQDN=… KIND=… REGION=…)
	@$(RUN) -m fleet sovereign "$(NAME)" "$(FQDN)" "$(REGION)" $(if $(KIND),--kind "$(KIND)") \
		$(call PLACE,endpoint,$(ENDPOINT)) $(call PLACE,bucket,$(BUCKET)) \
		$(call PLACE,account,$(ACCOUNT)) $(call PLACE,container,$(CONTAINER)) \
		$(call PLACE,accountId,$(ACCOUNTID)) $(call PLACE,size,$(SIZE)) \
		$(call PLACE,storageClass,$(STORAGECLASS))
PLACE = $(if $(2),--set "$(1)=$(2)")

# ADMIN_SECRET names another Secret with admin's password, in a Harbor of another tool's.
registry-export: $(VENV)/program ## Write the running Harbor of STACK=… as its section registry
	@$(RUN) -m operations registry-export "$(STACK)" \
		$(if $(ADMIN_SECRET),--admin-secret "$(ADMIN_SECRET)")

# JSON=1 for machines, RECORD=1 to record figures for Prometheus (monitoring.recordedMetrics). Ends
# with 0 where nothing is ill, 1 where something is, 2 where nothing was looked at.
doctor: $(VENV)/program ## Say what is ill with STACK=…, changing nothing (JSON=1 RECORD=1)
	@$(RUN) -m operations doctor "$(STACK)" $(if $(JSON),--json) $(if $(RECORD),--record)

# PRICE="4.99 EUR" of a TB and month; RECORD=1 keeps the result where the doctor finds it.
bucket-truth: $(VENV)/program ## Compare the bucket of STACK=… with its manifests (PRICE=… RECORD=1)
	@$(RUN) -m operations bucket-truth "$(STACK)" $(if $(JSON),--json) $(if $(RECORD),--record) \
		$(if $(PRICE),--price "$(PRICE)")

# A dry run into the file PLAN; with CONFIRM=number of blobs in it they are deleted.
bucket-sweep: $(VENV)/program ## Delete blobs that no image of STACK=… refers to (PLAN=file CONFIRM=n)
	@$(RUN) -m operations bucket-sweep "$(STACK)" --plan "$(or $(PLAN),sweep-$(STACK).json)" \
		$(if $(CONFIRM),--confirm "$(CONFIRM)")

# TO=folder or TO=host/path copies all of it there, FROM=folder out of a folder that TO wrote.
# OUTPUT=file for the list, FORMAT=yaml for YAML.
bundle: $(VENV)/program ## List all that STACK=… pulls, and copy it (TO=folder or registry, FROM=folder)
	@$(RUN) -m operations bundle "$(STACK)" $(if $(TO),--to "$(TO)") $(if $(FROM),--from "$(FROM)") \
		$(if $(OUTPUT),--output "$(OUTPUT)") $(if $(FORMAT),--format "$(FORMAT)")

# Of its file alone: no cluster, no engine, no secret.
deployer-role: $(VENV)/program ## Print the Roles with which STACK=… is deployed, and no more is allowed
	@$(RUN) -m operations deployer-role "$(STACK)"

# MINUTES: how long the restored database may take to be ready, 30 unless set.
restore-drill: $(VENV)/program ## Restore the backup of STACK=… beside the database, ask it, delete it
	@$(RUN) -m operations restore-drill "$(STACK)" $(if $(MINUTES),--minutes "$(MINUTES)")

stacks: ## The stacks that exist as files, as JSON
	@$(PYTHON) -m engine.stacks

sovereigns: ## Those that are no sandbox
	@$(PYTHON) -m engine.stacks sovereigns

gitlab-sovereigns: $(VENV)/program ## GitLab's child pipeline, one job for each (VERB=up or drift)
	@$(RUN) -m fleet gitlab "$(VERB)" $(if $(OUTPUT),> $(OUTPUT))
