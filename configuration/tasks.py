"""Scheduled and nudged work on configuration."""

import logging

from celery import shared_task
from django.utils import timezone

from configuration import idempotency, prompts
from configuration.importing import run

log = logging.getLogger(__name__)


@shared_task
def work_on_import(run_id: int) -> None:
    run.work_on(run_id)


@shared_task
def continue_imports() -> None:
    if n_runs := run.continue_imports():
        log.info("took up %d imports", n_runs)


@shared_task
def forget_import_rows() -> None:
    log.info("removed the rows of %d imports", run.forget_rows(at=timezone.now()))


@shared_task
def sweep_prompt_files() -> None:
    if n_files := prompts.sweep_prompt_files(at=timezone.now()):
        log.info("took away %d loose files of prompts", n_files)


@shared_task
def forget_answers() -> None:
    log.info("forgot %d answers", idempotency.forget_answers(at=timezone.now()))
