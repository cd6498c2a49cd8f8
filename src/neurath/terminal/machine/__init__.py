"""The terminal's machine: from "a check is due" to the verdict, and from any power-up back to a running image. Pure values:
`handle(event, now) -> (state, actions)`; gates, proof and verdict come in as events, and it never judges itself. The parts:
state (values, power-up), session (talking), writing. Spec: docs/spec/terminal.md; promises: tests/terminal."""

from neurath.terminal.machine import session as session
from neurath.terminal.machine import writing as writing
from neurath.terminal.machine.state import HANDLERS as HANDLERS
from neurath.terminal.machine.state import MAX_PROOFS as MAX_PROOFS
from neurath.terminal.machine.state import Actions as Actions
from neurath.terminal.machine.state import Machine as Machine
from neurath.terminal.machine.state import Policy as Policy
from neurath.terminal.machine.state import Step as Step
