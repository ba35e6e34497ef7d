"""The parts of bench/compare: systems, questions, answers, measurements, report."""
