"""The arguments of envs: names, types, defaults and checks, without the compiled code that uses them.

The command line checks a config here before it imports anything slow; the envs' constructors take the same arguments.
"""
