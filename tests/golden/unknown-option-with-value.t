$ chaoseater gate plan.yaml --min-scores=80
! 2
--- stderr
chaoseater: gate has no option --min-scores; did you mean --min-score?
