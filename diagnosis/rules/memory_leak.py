"""Memory leak: memory rises and with it garbage collection, or the process ran out of it.

A line that says so is not enough: it may hold what a stranger typed. Who runs out of memory also fails, gets slow or
shows it in a gauge. (Other lines that get fewer do not count: their share falls where new ones come.)
"""

from diagnosis._contract_rules import Said, Scene
from diagnosis.rules._look import certainty, lines, metrics, of_kind

_MEMORY = ("memory", "mem_", "heap", "rss", "working_set")
_COLLECTOR = ("gc_", "garbage")
_OUT = ("outofmemory", "out of memory", "oomkilled", "cannot allocate", "heap space")


class MemoryLeak:
    kind = "memory_leak"
    family = "memory"
    about = "memory rises until collecting garbage costs time or the process dies"

    def judge(self, scene: Scene) -> list[Said]:
        out = []
        for service in scene.services:
            rising, collecting = metrics(scene, service, _MEMORY), metrics(scene, service, _COLLECTOR)
            died = lines(scene, service, _OUT)
            felt = rising or collecting or of_kind(scene, service, "error_ratio", "latency")
            if died and felt:
                out.append(Said(service, 0.9, f"{service} ran out of memory", died[0]))
            elif rising and collecting:
                strength = 0.4 + 0.4 * certainty(rising)
                out.append(Said(service, strength, f"memory and garbage collection of {service} rise", rising[0]))
        return out


PLUGIN = MemoryLeak
