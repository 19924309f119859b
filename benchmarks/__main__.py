"""All benchmarks, one after the other: what ``make bench`` runs."""

from benchmarks import end_to_end, engine, memory

if __name__ == "__main__":
    engine.main()
    memory.main()
    end_to_end.main()
