"""What the arguments of envs may be: their names, types, defaults and rules, without the compiled code that uses them.

The command line looks here before it imports anything that takes seconds; the constructors take these very arguments.
"""
