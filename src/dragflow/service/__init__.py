"""The application, without a face: jobs over editors, and where they run. Edges parse and print; this does the work."""

from dragflow.service.apart import Apart, taken_apart
from dragflow.service.canvas import Canvas
from dragflow.service.consent import asks, unchosen
from dragflow.service.events import from_data, to_data
from dragflow.service.executors import executor
from dragflow.service.intent import ChosenGuess, GuessOptions, answer_data, choose, guess
from dragflow.service.jobs import EditJob, plan, repeat
from dragflow.service.pool import ModelPool
from dragflow.service.preview import preview
from dragflow.service.projects import Repeated, repeat_edits
from dragflow.service.run import Handle, Service, open_session, run

__all__ = [
    "Apart",
    "Canvas",
    "ChosenGuess",
    "EditJob",
    "GuessOptions",
    "Handle",
    "ModelPool",
    "Repeated",
    "Service",
    "answer_data",
    "asks",
    "choose",
    "executor",
    "from_data",
    "guess",
    "open_session",
    "plan",
    "preview",
    "repeat",
    "repeat_edits",
    "run",
    "taken_apart",
    "to_data",
    "unchosen",
]
