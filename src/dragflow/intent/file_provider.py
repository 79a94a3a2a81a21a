"""The provider `file`: answers from a JSON file, for experiments and for answers that a person wrote."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dragflow.core.errors import UserError
from dragflow.core.result import IntentRecord
from dragflow.files import schema
from dragflow.files.texts import read_text
from dragflow.intent.answer import parse_answer
from dragflow.intent.base import Answer, IntentRequest
from dragflow.intent.options import ProviderOptions


@dataclass
class FileProvider:
    """Gives the answers of a file: one for all pictures, a list in order, or one for each digest of a picture."""

    path: Path
    answers: object
    index: int = 0
    """Of the next answer in a list: how many requests were made."""

    name = "file"
    model = None
    remote = False

    def propose(self, request: IntentRequest) -> Answer:
        """The answer of the file; as many candidates as it has.

        Raises:
            UserError: it has no answer for this request.
            IntentError: its answer breaks a rule.
        """
        began = time.perf_counter()
        answer = self._answer(request)
        self.index += 1
        given = answer.get("candidates")
        count = len(given) if isinstance(given, list) and given else request.count
        proposal = parse_answer(json.dumps(answer), replace(request, count=count))
        return Answer(proposal, IntentRecord(self.name, None, time.perf_counter() - began, attempts=1))

    def _answer(self, request: IntentRequest) -> dict[str, Any]:
        answer, digest = self.answers, request.source.sha256
        if isinstance(answer, list):
            if self.index >= len(answer):
                raise UserError(f"{self.path} has only {len(answer)} answers: add one")
            answer = answer[self.index]
        elif isinstance(answer, dict) and "candidates" not in answer:
            if digest not in answer:
                raise UserError(f"{self.path} has no answer for the picture with the digest {digest}: add that key")
            answer = answer[digest]
        if not isinstance(answer, dict):
            raise UserError(f"{self.path}: an answer must be an object with the key candidates")
        return answer


def load(options: ProviderOptions) -> FileProvider:
    """The provider for `options.answers`.

    Raises:
        UserError: no file is named, it cannot be read, or it is not JSON.
    """
    if options.answers is None:
        raise UserError("the provider file needs a file with answers: name it as `provider.answers`")
    text = read_text(options.answers, "answers", "name a JSON file in UTF-8")
    return FileProvider(options.answers, schema.load_json(text, str(options.answers)))
