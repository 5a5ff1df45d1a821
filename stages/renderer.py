"""The program of the process that renders chat templates: `stages.templates` starts it.

A template comes with a checkpoint, from anybody: it may loop for ever or ask for all memory. Here
it can do so without harm. Imports jinja2 and the standard library, nothing of ours and no torch;
what it writes is equal to transformers' `apply_chat_template` on one day (`TODAY`). Reads requests
from stdin, a line of JSON each, and answers each with a line.
"""

import json
import resource
import signal
import sys
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

MEMORY = 1 << 30  # bytes of address space
SECONDS = 10.0  # of processor time that one request may take
LONGEST = 64 << 20  # bytes of an answer
# The date of every prompt: today's is in no key, and would give other rows tomorrow. It is the one
# that the templates of Llama 3 fall back on where no date is to be had.
TODAY = datetime(2024, 7, 26)
_SAID = 300  # characters of an error


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """The rendered chats as `texts`, or an `error`; `refused` where the template raised it."""
    from jinja2 import TemplateError

    try:
        template = _compiled(request["template"])
        texts = [
            template.render(
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=True,
                **request["tokens"],
            )
            for messages in request["chats"]
        ]
    except MemoryError:
        return {"error": f"it needs more than {MEMORY >> 20} MiB of memory"}
    except Exception as error:  # noqa: BLE001  # a template can raise anything
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return {"error": first[:_SAID].rstrip("."), "refused": type(error) is TemplateError}
    if sum(map(len, texts)) > LONGEST:
        return {"error": f"it writes more than {LONGEST >> 20} MiB"}
    return {"texts": texts}


@lru_cache(maxsize=4)
def _compiled(template: str) -> Any:
    """A template in an environment as transformers gives it."""
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}`, which marks an answer in training: here its body as it is."""

        tags = {"generation"}  # noqa: RUF012  # jinja2's own protocol

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_body"), [], [], body, lineno=line)

        def _body(self, caller: Any) -> Any:
            return caller()

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def as_json(
        value: Any,
        ensure_ascii: bool = False,
        indent: Any = None,
        separators: Any = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = as_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = TODAY.strftime
    return environment.from_string(template)


def serve() -> None:
    """Answer until stdin ends. A request that takes too long ends the process by SIGPROF."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        reply = json.dumps(answer(json.loads(line))).encode() + b"\n"
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.buffer.write(reply)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.path[:0] = sys.argv[1:]  # where jinja2 and markupsafe are
    serve()
