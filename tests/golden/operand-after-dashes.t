# After -- nothing is an option.
$ chaoseater explain -- --json
! 2
--- stderr
chaoseater: no fault is called '--json'; `chaoseater faults` lists them
