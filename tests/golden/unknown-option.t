$ chaoseater run plan.yaml --sede 7
! 2
--- stderr
chaoseater: run has no option --sede; did you mean --seed?
