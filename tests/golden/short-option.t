$ chaoseater run -s 7 plan.yaml
! 2
--- stderr
chaoseater: '-s': options are written out, as in --help
