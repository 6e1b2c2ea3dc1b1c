$ chaoseater --seed 7 run plan.yaml
! 2
--- stderr
chaoseater: '--seed' is not --help or --version; options follow a command
