"""Memory leak: memory rises and with it garbage collection, or the process ran out of it."""

from diagnosis._contract_rules import Said, Scene
from diagnosis.rules._look import certainty, lines, metrics

_MEMORY = ("memory", "mem_", "heap", "rss", "working_set")
_COLLECTOR = ("gc_", "gc.", "garbage")
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
            if died:
                out.append(Said(service, 0.9, f"{service} ran out of memory", died[0]))
            elif rising and collecting:
                strength = 0.4 + 0.4 * certainty(rising)
                out.append(Said(service, strength, f"memory and garbage collection of {service} rise", rising[0]))
        return out


PLUGIN = MemoryLeak
