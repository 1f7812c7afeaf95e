"""The platform at work: sessions, their tasks, the tasks' steps, and what each step leaves behind.

Rows come out with parents before children, in AtlasTrinity's storage formats: UUIDs as 36
characters, timestamps as text with six decimals, booleans as 0 and 1, JSON as ASCII text.
The ratios per step are those of the real workload: 23 logs, 0.8 tool executions, 0.4 recovery
attempts, and a few nodes and edges.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from scripts.demo_data.text import Text, to_json

#: Values in the order of the table's columns in migration/export/platform.sql.
Row = tuple[object, ...]
#: Table name → rows, in an order that satisfies foreign keys.
Batch = dict[str, list[Row]]

TOOLS = (
    "filesystem.read_file",
    "filesystem.write_file",
    "filesystem.list_directory",
    "vibe.vibe_prompt",
    "vibe.vibe_analyze_error",
    "memory.create_entities",
    "memory.search",
    "puppeteer.puppeteer_navigate",
    "xcodebuild.macos-use_take_screenshot",
    "golden-fund.search_golden_fund",
    "duckduckgo-search.duckduckgo_search",
    "unknown.unknown",
)
AGENTS = ("atlas", "tetyana", "grisha")
_SOURCES = (*AGENTS, "system", "orchestrator", "vibe")
_SOURCE_WEIGHTS = (12, 10, 8, 20, 15, 35)
_LEVELS = ("INFO", "DEBUG", "WARNING", "ERROR", "VOICE", "STARTUP_REPORT")
_LEVEL_WEIGHTS = (80, 4, 5, 4, 6, 1)
_METHODS = ("vibe", "retry", "replan", "self_heal")
_RELATIONS = ("USES", "USED", "RELATES_TO", "DEPENDS_ON", "CREATED")

#: Means over all steps; they decide the volume.
_LOGS_PER_STEP = 23
_EXECUTION_CHANCE = 0.8
_FAILURE_CHANCE = 0.2
_RECOVERIES_AT_FAILURE = 2
_LARGE_RESULT_CHANCE = 0.004
_LARGE_RESULT_STEP = 4
#: Recent entities that new edges may point to: a bound on memory, not on the graph.
_REMEMBERED = 400


@dataclass
class _Task:
    id: str
    parent: str | None
    session: str
    node: str


class Platform:
    """Lives through sessions and records what happens.

    Args:
        rng: the only source of chance.
        start: UTC time of the first session.
        pause: mean time between sessions.
    """

    def __init__(self, rng: Random, start: datetime, pause: timedelta) -> None:
        self._rng = rng
        self._text = Text(rng, TOOLS)
        self._now = start
        self._pause = pause
        self._steps = 0
        self._serial = 0
        self._entities: deque[str] = deque(maxlen=_REMEMBERED)
        self._rows: Batch = {}

    def work(self) -> Iterator[Batch]:
        """The rows of one step after another, without end."""
        self._open_graph()
        while True:
            session = self._open_session()
            parent: _Task | None = None
            for number in range(self._rng.randint(3, 8)):
                nested = parent is not None and (number == 1 or self._rng.random() < 0.3)
                task = self._open_task(session, parent if nested else None)
                for step in range(1, self._rng.randint(4, 14)):
                    self._step(task, step)
                    yield self._take()
                self._close_task(task)
                parent = task
            self._now += self._pause * self._rng.uniform(0.5, 1.5)

    def _take(self) -> Batch:
        rows, self._rows = self._rows, {}
        return rows

    def _add(self, table: str, *values: object) -> None:
        self._rows.setdefault(table, []).append(values)

    def _uuid(self) -> str:
        text = f"{self._rng.getrandbits(128):032x}"
        variant = "89ab"[int(text[16], 16) & 3]
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"

    def _time(self, seconds: float = 0.0) -> str:
        moment = self._now + timedelta(seconds=seconds) if seconds else self._now
        return moment.isoformat(" ", "microseconds")

    def _wait(self, mean_seconds: float) -> None:
        self._now += timedelta(seconds=self._rng.expovariate(1 / mean_seconds))

    def _open_graph(self) -> None:
        about = {"description": "AtlasTrinity Core System. The root of all knowledge and strategy."}
        now = self._time()
        self._add("kg_nodes", "entity:trinity", "CONCEPT", "global", None, to_json(about), now)
        for tool in TOOLS:
            about = {"description": tool.replace(".", "/", 1)}
            self._add("kg_nodes", f"tool:{tool}", "TOOL", "global", None, to_json(about), now)
        self._entities.append("entity:trinity")

    def _open_session(self) -> str:
        rng, text = self._rng, self._text
        session = self._uuid()
        metadata = {} if rng.random() < 0.4 else {"theme": text.sentence(), "mood": text.emoji()}
        ended = None if rng.random() < 0.3 else self._time(3600 * rng.uniform(0.3, 3))
        self._add("sessions", session, self._time(), ended, to_json(metadata))
        # Until the session has its number, the platform writes under this name.
        self._log("current_session", "STARTUP_REPORT", "system")
        self._chat("current_session", "system")
        return session

    def _open_task(self, session: str, parent: _Task | None) -> _Task:
        rng, text = self._rng, self._text
        self._wait(40)
        self._chat(session, "user")
        identifier = self._uuid()
        task = _Task(identifier, parent.id if parent else None, session, f"task:{identifier}")
        goal = f"{text.emoji()} {text.paragraph(rng.randint(1, 4))}"
        done = rng.random() < 0.7
        stack = {
            "goal_stack": [text.sentence() for _ in range(rng.randint(1, 3))],
            "parent_goal": text.sentence() if parent else None,
            "recursive_depth": 1 if parent else 0,
            "current_goal": text.sentence(),
        }
        self._add(
            *("tasks", identifier, session, goal),
            "COMPLETED" if done else rng.choice(("PENDING", "FAILED", "RUNNING")),
            *(int(rng.random() < 0.1), self._time()),
            self._time(rng.uniform(60, 900)) if done else None,
            to_json(stack if rng.random() < 0.9 else {}),
            task.parent,
        )
        about = to_json({"goal": goal, "steps_count": rng.randint(4, 14)})
        scope = identifier if rng.random() < 0.3 else "global"
        self._add("kg_nodes", task.node, "TASK", scope, identifier, about, self._time())
        return task

    def _close_task(self, task: _Task) -> None:
        rng, text = self._rng, self._text
        self._chat(task.session, "ai")
        if rng.random() < 0.5:
            entities = [text.noun() for _ in range(rng.randint(0, 6))]
            summary = (task.session, text.paragraph(rng.randint(3, 9)), to_json(entities))
            self._add("conversation_summaries", None, *summary, self._time(), to_json({}))

    def _step(self, task: _Task, number: int) -> None:
        rng, text = self._rng, self._text
        self._steps += 1
        step = self._uuid()
        sequence = f"{number}" if rng.random() < 0.8 else f"{number}.{rng.randint(1, 3)}"
        tool = rng.choice(TOOLS) if rng.random() < 0.95 else ""
        failed = rng.random() < _FAILURE_CHANCE or self._steps == 2
        error = text.trace() if failed else None
        status = "FAILED" if failed else "SUCCESS" if rng.random() < 0.97 else "RUNNING"
        duration = int(rng.lognormvariate(7.5, 1.3))
        action = f"[{sequence}] {text.sentence()}"
        place = (step, task.id, sequence, action, tool, status, error, duration, self._time())
        self._add("task_steps", *place)
        for _ in range(rng.randint(_LOGS_PER_STEP - 10, _LOGS_PER_STEP + 10)):
            self._wait(0.4)
            self._log(None if rng.random() < 0.03 else task.session)
        if rng.random() < _EXECUTION_CHANCE or self._steps == _LARGE_RESULT_STEP:
            self._execution(task, step, tool or "unknown.unknown", failed=failed)
        if error is not None:
            self._recover(step, error)
        self._remember(task, sequence, tool or "unknown.unknown", error)
        self._rarely(task, step, sequence)

    def _log(
        self, session: str | None, level: str | None = None, source: str | None = None
    ) -> None:
        rng = self._rng
        level = level or rng.choices(_LEVELS, _LEVEL_WEIGHTS)[0]
        source = source or rng.choices(_SOURCES, _SOURCE_WEIGHTS)[0]
        kind = rng.random()
        metadata: str | None = f'{{"type": "{level.lower()}"}}'
        if kind < 0.04:
            # Some writers store JSON's null, some no value at all.
            metadata = None if kind < 0.02 else "null"
        message = self._text.sentence()
        self._add("logs", None, session, self._time(), level, source, message, metadata)

    def _chat(self, session: str, role: str) -> None:
        rng = self._rng
        metadata = to_json({"agent": rng.choice(AGENTS).upper() if role == "ai" else None})
        content = self._text.paragraph(rng.randint(1, 9))
        self._add("chat_history", None, session, role, content, self._time(), metadata)

    def _execution(self, task: _Task, step: str, tool: str, *, failed: bool) -> None:
        rng, text = self._rng, self._text
        server, name = tool.split(".", 1)
        arguments = {"args": text.document(), "шлях": "/Users/dev/Документи/їжак.txt"}
        large = self._steps == _LARGE_RESULT_STEP or rng.random() < _LARGE_RESULT_CHANCE
        kind = rng.random()
        result: str | None
        if large:
            result = text.listing(rng.randint(1000, 2500))
        elif kind < 0.06:
            result = None
        elif kind < 0.1:
            result = ""
        elif kind < 0.4:
            result = to_json({"items": [text.document(1) for _ in range(6)], "ok": not failed})
        else:
            result = text.listing(rng.randint(2, 40))
        owner = task.id if rng.random() < 0.9 else None
        status = "FAILED" if failed else "SUCCESS"
        call = (server, name, to_json(arguments), result, status, self._time())
        self._add("tool_executions", self._uuid(), step, owner, *call)

    def _recover(self, step: str, error: str) -> None:
        rng, text = self._rng, self._text
        attempts = rng.randint(1, 2 * _RECOVERIES_AT_FAILURE - 1)
        for depth in range(attempts):
            self._wait(3)
            said = to_json({"plan": text.document()}) if rng.random() < 0.7 else None
            success = int(depth == attempts - 1 and rng.random() < 0.8)
            took = int(rng.lognormvariate(9, 1))
            outcome = (rng.choice(_METHODS), success, took, said, error, self._time())
            self._add("recovery_attempts", None, step, depth, *outcome)

    def _remember(self, task: _Task, sequence: str, tool: str, error: str | None) -> None:
        """The step in the knowledge graph: its execution, sometimes an entity, and edges."""
        rng, text = self._rng, self._text
        self._serial += 1
        stamp = self._now.isoformat() + "+00:00"
        outcome = {"success": error is None, "error": error and error[:300], "timestamp": stamp}
        node, now = f"exec:{task.id}:{sequence}:{self._serial}", self._time()
        self._add("kg_nodes", node, "STEP_EXECUTION", "global", None, to_json(outcome), now)
        self._edge(task.node, f"tool:{tool}", "USES")
        self._edge(node, task.node, "DEPENDS_ON")
        if rng.random() < 0.4 or self._steps == 1:
            entity = f"entity:{text.noun()}_{self._serial}"
            facts = [text.sentence() for _ in range(rng.randint(0, 6))]
            about = {"entity_type": "concept", "observations": facts, "content": text.document(1)}
            scope = task.id if rng.random() < 0.3 else "global"
            self._add("kg_nodes", entity, "ENTITY", scope, None, to_json(about), now)
            self._edge(entity, rng.choice(self._entities), rng.choice(_RELATIONS))
            self._entities.append(entity)

    def _edge(self, source: str, target: str, relation: str) -> None:
        rng = self._rng
        noted = rng.random() < 0.6
        about = to_json({"weight": rng.random(), "note": self._text.sentence()}) if noted else None
        self._add("kg_edges", None, source, target, relation, "global", about, self._time())

    def _rarely(self, task: _Task, step: str, sequence: str) -> None:
        """What not every step leaves; the first step leaves all of it, so no table stays empty."""
        rng, text = self._rng, self._text
        first = self._steps == 1
        if first or rng.random() < 0.3:
            pair = (rng.choice(AGENTS), rng.choice(AGENTS))
            kind = rng.choice(("help_request", "fix_ready", "verify"))
            read = self._time(rng.uniform(0.1, 9)) if rng.random() < 0.7 else None
            body = (
                sequence if rng.random() < 0.8 else None,
                to_json({"guidance": text.document()}),
            )
            letter = (*pair, kind, *body, self._time(), read)
            self._add("agent_messages", self._uuid(), task.session, *letter)
        if first or rng.random() < 0.03:
            words = (text.paragraph(2), text.sentence(), text.sentence(), text.sentence())
            factors = to_json({"чинники": text.document()} if rng.random() < 0.7 else {})
            place = (self._uuid(), task.session, step if rng.random() < 0.5 else None)
            self._add("behavioral_deviations", *place, *words, factors, self._time())
        if first or rng.random() < 0.1:
            found = (f"{text.noun()}_token", text.sentence(), rng.choice(("path", "url", "fact")))
            action = text.sentence() if rng.random() < 0.5 else None
            self._add("discoveries", None, task.id, sequence, *found, action, self._time())
        if first or rng.random() < 0.02:
            reason = text.sentence() if rng.random() < 0.5 else None
            move = (self._entities[-1], task.id, "global", rng.choice(AGENTS), reason)
            self._add("knowledge_promotions", None, *move, self._time())
        if first or rng.random() < 0.3:
            self._file()
        if first:
            summary = (task.session, text.paragraph(4), to_json([text.noun()]))
            self._add("conversation_summaries", None, *summary, self._time(), to_json({}))

    def _file(self) -> None:
        rng, text = self._rng, self._text
        name = f"{text.noun()}_{self._serial}.{rng.choice(('py', 'md', 'pdf', 'json'))}"
        path = f"/Users/dev/.config/atlastrinity/workspace/{text.noun()}/{name}"
        folder = rng.random() < 0.1
        modified = self._now.replace(tzinfo=UTC).timestamp() - rng.uniform(0, 1e7)
        content = None if folder else f"{rng.getrandbits(256):064x}"
        size = 0 if folder else int(rng.lognormvariate(8, 2))
        facts = (path, name, size, modified, int(folder), content, self._time())
        self._add("files", None, *facts)
