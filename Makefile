.PHONY: help setup demo fresh check fast test nightly format hooks wheel clean

help: ## Say what can be typed
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "  make %-8s %s\n", $$1, $$2 }'

setup: ## Environment, Java and jars, with the tools for development
	scripts/bootstrap dev

demo: ## The story: eleven months, a model, then December
	scripts/demo

fresh: ## The same from the start; deletes .lakeloom
	scripts/demo --fresh

check: setup ## Lint and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy --strict pipelines jobs $(wildcard scripts/*.py)

fast: ## Lint, types and the tests without Spark
	scripts/test --fast

test: ## Everything
	scripts/test

nightly: ## The long trials, for hours, and a table of them
	scripts/nightly

format: setup ## Lay the code out and mend what ruff can mend
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

hooks: setup ## Check every commit
	.venv/bin/pre-commit install

wheel: ## dist/lakeloom-*.whl: all that a cluster needs
	uv build --wheel

clean: ## Remove what tools left; tables and models stay
	rm -rf dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis metastore_db derby.log spark-warehouse
