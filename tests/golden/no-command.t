# Wrong usage prints the one sentence that helps, and not the whole help.
$ chaoseater
! 2
--- stderr
chaoseater: no command; `chaoseater --help` lists them
