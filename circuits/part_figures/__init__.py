"""What a part can do, measured in ngspice: figures of a data sheet, for a vendor's model and for ours alike.

Each kind of part has a file (`opamp`, `multiplier`, `comparator`, `switch`) with pins, figures and a function that
measures them; `judge_part` puts them beside what a data sheet says, and tells what does not agree. A new kind is a new
file with `KIND`, and its name in `kinds`.
"""
