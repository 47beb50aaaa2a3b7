"""Run items again: the plan, the parts one after the other, and what is kept of them."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from ndtools.computing.memory import is_out_of_memory
from ndtools.errors import NdtoolsError, OutputError
from ndtools.reproduction.before import Before
from ndtools.reproduction.cost import slowness
from ndtools.reproduction.item import Item, Level, Part, Setting
from ndtools.reproduction.kept import Kept
from ndtools.reproduction.levels import Levels
from ndtools.reproduction.plan import Choice, choose
from ndtools.reproduction.reasons import SLACK, not_run, reason_of, word_of
from ndtools.reproduction.registry import ITEMS, find_item
from ndtools.reproduction.request import Request
from ndtools.reproduction.state import ItemState, ItemWord, PartState
from ndtools.reproduction.store import Store, compute_part
from ndtools.reproduction.training import Trainer, run_name
from ndtools.results.reproductions import Grade
from ndtools.results.run_folder import RunFolder
from ndtools.runs.config import RunConfig
from ndtools.text import reason

__all__ = ["Reproduction"]

_BRIEF, _LEAST_PACE, _MOST_PACE = 1.0, 0.5, 4.0


class Reproduction:
    """One call of ``ndtools reproduce``.

    Parameters
    ----------
    request : Request
        Items to be run, with budget, folders and data.
    items : sequence of Item
        All items that there are. Default: those of the paper and the reports.
    changed : callable
        Function that is called whenever a state has changed. Default: none.
    compute : callable
        Function that calls another one with its arguments. Commands give one that Ctrl-C can end. Default: call it.
    spell : callable
        Function that returns a message as the user reads it, from the name of the experiment and the message. Commands
        give one that writes arguments as options. Default: the same message.
    slow : float, optional
        Number of times as long as the reference that this machine takes. By default a probe measures it.

    Raises
    ------
    OptionError
        If an ID is not known. The message names the nearest ones.
    DataError
        If reproduction.json is damaged, or data that the request names are not there.
    """

    def __init__(
        self,
        request: Request,
        *,
        items: Sequence[Item] = ITEMS,
        changed: Callable[[], None] = lambda: None,
        compute: Callable[..., Any] = lambda run, *args, **settings: run(*args, **settings),
        spell: Callable[[str, str], str] = lambda _, message: message,
        slow: float | None = None,
    ) -> None:
        self.request, self.items, self._changed, self._compute, self._spell = request, items, changed, compute, spell
        asked = [name for word in request.ids for name in _named(word, items)] or [item.id for item in items]
        self.asked = tuple(dict.fromkeys(asked))
        self.store = Store(request.output)
        self.slow = slowness() if slow is None else slow
        self.now = ""
        self._worked: list[tuple[float, float]] = []  # estimated and measured seconds of the parts of this call
        self._start = time.monotonic()
        self.kept = Kept(self.store, request.runs)
        self._before = Before(self.store.read())
        setting = Setting(places=request.places, device=request.device, jobs=request.jobs)
        self._levels = Levels(items, setting, self.kept, self._before)
        self._started = self._before.started or _now()
        self._trainer = Trainer(self.store.runs)
        self._problems: dict[str, str] = {}  # reasons of failures in this call, by address
        self.states = {
            item.id: self._state(item, self._levels.shown(item), asked=item.id in self.asked) for item in items
        }

    @property
    def left(self) -> float | None:
        """Seconds of the budget that are left; None without a budget."""
        budget = self.request.budget
        return None if budget is None else budget - (time.monotonic() - self._start)

    def run(self) -> None:
        """Run the items that were asked for, the quickest first, and write the state after each part.

        Raises
        ------
        OutputError
            If a result cannot be written, or another process writes into the folder.
        KeyboardInterrupt
            If the user asked to stop. The state has been written then.
        """
        self.store.check()
        with RunFolder(self.request.output).lock():
            try:
                self._run()
                self._refresh()
            finally:
                self._save()

    def _refresh(self) -> None:
        """Take up what was done for one item, and is a part of others, in their states and grades."""
        for name, state in self.states.items():
            over: ItemWord | None = "over the budget" if state.state == "over the budget" else None
            if state.level is not None:
                self.states[name] = self._state(state.item, state.level, asked=state.asked, word=over)

    def _run(self) -> None:
        for name in self.asked:
            if not self._levels.runnable[name]:
                self._update(self._item(name), self._levels.shown(self._item(name)))
        pending = [self._item(name) for name in self.asked if self._levels.runnable[name]]
        budget = self.request.budget
        largest = {item.id: self._before.largest(item.id, self._levels.runnable[item.id], budget) for item in pending}
        while pending:
            choices = {item.id: self._choice(item, largest[item.id]) for item in pending}
            chosen = choose({name: choice for name, (choice, _) in choices.items()}, self.left)
            for item in pending:
                at, levels = chosen[item.id], choices[item.id][1]
                seconds = choices[item.id][0].seconds
                level = levels[seconds.index(min(seconds)) if at is None else at]
                largest[item.id] = self._levels.runnable[item.id].index(
                    level
                )  # the rest is never planned larger than at first
                if at is None:
                    self._update(item, self._levels.shown(item) or level, word="over the budget")
                else:
                    self._update(item, level)
            self._save()
            ready = [item for item in pending if chosen[item.id] is not None]
            if not ready:
                return
            item = min(ready, key=lambda one: self._remaining(self.states[one.id]))
            self._run_item(item)
            shown, ran = self._levels.shown(item), self.states[item.id].level
            if shown is not None and ran is not None and self._levels.count(shown) > self._levels.count(ran):
                self._update(item, shown)  # of which more is done than of the level that the budget allowed
            pending.remove(item)

    def _run_item(self, item: Item) -> None:
        level = self.states[item.id].level
        assert level is not None
        for part in level.parts:
            state = self._part_state(part)  # anew, because a part may need the network of one before it
            if state.state == "done":
                continue
            left = self.left
            if left is not None and (left <= 0 or self._pace * state.estimate > SLACK * left):
                break
            if self.kept.address(part) is None:  # which takes reading its data
                self._update(item, level)
                continue
            state = self._part_state(part)
            if state.state == "done":
                continue
            self._mark(item, replace(state, state="running"))
            started = time.monotonic()
            assert state.address is not None
            try:
                with self._speaking_of(item, part):
                    finished = self._do(part, state)
                if not finished:
                    self._update(item, level)
                    break
                self._worked.append((state.estimate, time.monotonic() - started))
            except KeyboardInterrupt:
                self._update(item, level)
                self._mark(item, replace(state, state="interrupted"))
                raise
            except OutputError:
                self._update(item, level)
                raise
            except NdtoolsError as error:
                self._problems[state.address] = self._spell(part.experiment, str(error))
            except (MemoryError, RuntimeError, OSError, ImportError) as error:
                if not is_out_of_memory(error):
                    raise
                self._problems[state.address] = f"out of memory ({reason(error)}): give fewer jobs, or more memory"
            self._update(item, level)
            self._save()

    @contextmanager
    def _speaking_of(self, item: Item, part: Part) -> Iterator[None]:
        """Let warnings of a part begin with the names of item and part, for the body of a ``with``."""
        show = warnings.showwarning

        def show_of_part(message: Warning | str, category: type[Warning], *args: Any, **settings: Any) -> None:  # noqa: ANN401
            text = f"{item.id}, {part.name}: {self._spell(part.experiment, str(message))}"
            show(category(text), category, *args, **settings)

        with warnings.catch_warnings():
            warnings.showwarning = show_of_part
            yield

    def _do(self, part: Part, state: PartState) -> bool:
        """Do the work of a part; return whether it was finished, or else was stopped at the end of the budget."""
        assert state.address is not None
        self.now = part.name
        if isinstance(part.config, RunConfig):
            name = run_name(part.config, state.address)
            run = self._trainer.train(
                part.config, name, state.command, show=self._show, out_of_time=self._is_out_of_time
            )
            return run is not None
        result, seconds = compute_part(self.kept.ready(part) or part, self._compute)
        self.store.write(part, state.address, result, seconds=seconds, command=state.command)
        return True

    def _is_out_of_time(self) -> bool:
        return self.left is not None and self.left <= 0

    def _show(self, record: Any) -> None:  # noqa: ANN401
        self.now = f"epoch {record.epoch:.2f}, step {record.step:,}"
        self._changed()

    def _mark(self, item: Item, part: PartState) -> None:
        state = self.states[item.id]
        parts = tuple(part if each.name == part.name else each for each in state.parts)
        self.states[item.id] = replace(state, parts=parts)
        self._changed()

    def _update(self, item: Item, level: Level | None, *, word: ItemWord | None = None) -> None:
        self.states[item.id] = self._state(item, level, asked=True, word=word)
        self._changed()

    def _save(self) -> None:
        self.store.save(self.content)
        self.kept.fingerprints.save()

    @property
    def content(self) -> dict[str, Any]:
        """Content of reproduction.json, without the version of its format."""
        from ndtools.results.manifest import versions

        software = versions()
        return {
            "ndtools": software["ndtools"],
            "versions": software,
            "hardware": self._hardware,
            "started": self._started,
            "updated": _now(),
            "budget": self.request.budget,
            "items": [state.numbers() for state in self.states.values()],
        }

    @cached_property
    def _hardware(self) -> Mapping[str, Any]:
        from ndtools.computing.hardware import hardware
        from ndtools.computing.operators import resolve_device

        return hardware(resolve_device(self.request.device))

    def _item(self, name: str) -> Item:
        return next(item for item in self.items if item.id == name)

    def _choice(self, item: Item, largest: int) -> tuple[Choice, list[Level]]:
        """Return the seconds that each level takes from now on, down to the first that is done, and these levels."""
        candidates = self._levels.candidates(item, largest)
        seconds = (
            self._pace * sum(self._estimate(part) for part in level.parts if not self.kept.is_done(part))
            for level in candidates
        )
        return Choice(tuple(seconds)), candidates

    def _remaining(self, state: ItemState) -> float:
        return sum(part.estimate for part in state.parts if part.state != "done")

    @property
    def _pace(self) -> float:
        """Return the measured seconds in units of the estimated ones, of the parts of this call, within limits."""
        estimated, measured = (sum(times) for times in zip(*self._worked, strict=True)) if self._worked else (1.0, 1.0)
        return min(max(measured / max(estimated, _BRIEF), _LEAST_PACE), _MOST_PACE)

    def _estimate(self, part: Part) -> float:
        """Return the seconds that a part still takes: of a run that was begun, by the pace that it had."""
        progress = self.kept.progress(part)
        if progress is None:
            return part.work * self.slow
        done, seconds = progress
        return seconds * (1 - done) / done

    def _part_state(self, part: Part) -> PartState:
        problem = self._problems.get(self.kept.known_address(part) or "")
        return self.kept.state(part, estimate=self._estimate(part), problem=problem)

    def _state(self, item: Item, level: Level | None, *, asked: bool, word: ItemWord | None = None) -> ItemState:
        levels = self._levels.all[item.id]
        runnable = self._levels.runnable[item.id]
        over = word == "over the budget"
        parts = tuple(map(self._part_state, level.parts)) if level else ()
        done = sum(part.state == "done" for part in parts)
        if parts and done == len(parts):
            word = "done"
        elif word is None or done:
            word = word_of(levels, runnable, parts)
        state = ItemState(
            item=item,
            state=word,
            reason=reason_of(
                item, levels, level, word, parts, request=self.request, has_gpu=self._levels.has_gpu, over=over
            ),
            level=level,
            parts=parts,
            estimate_full=sum(map(self._estimate, levels[0].parts)) if levels else None,
            runnable=tuple(one.title for one in runnable),
            command=self.request.command(item.id),
            asked=asked,
        )
        return replace(state, grades=self._grades(state))

    def _grades(self, state: ItemState) -> tuple[Grade, ...]:
        item, graded = state.item, dict[str, Grade]()
        for level in self._levels.all[item.id]:  # the largest level that decides a subject grades it
            if state.level is not None and level.title != state.level.title and not self._levels.trained(level):
                continue
            results = {part.name: self.kept.result(part) for part in level.parts if self.kept.is_done(part)}
            for grade in item.grade(level, results) if results else []:
                graded.setdefault(grade.subject, grade)
        for level in self._levels.all[item.id][:1]:  # runs that are no parts, but similar, decide what is left
            similar = {part.name: run for part in level.parts if (run := self.kept.similar(part)) is not None}
            done = {part.name: self.kept.result(part) for part in level.parts if self.kept.is_done(part)}
            for grade in (
                item.grade(replace(level, full=False), {**similar, **done}) if set(similar) - set(done) else []
            ):
                graded.setdefault(grade.subject, grade)
        why = not_run(state, self.request)
        missing = (
            Grade(subject=name, verdict="not run", reason=item.undecided.get(name, why), conditions="none")
            for name in item.subjects
            if name not in graded
        )
        return (*graded.values(), *missing)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _named(word: str, items: Sequence[Item]) -> list[str]:
    """Return the IDs of the items that a word names: "claims" names all that decide one."""
    if word.strip().lower() == "claims":
        return [item.id for item in items if any(subject.startswith("claim/") for subject in item.subjects)]
    return [find_item(word, items).id]
