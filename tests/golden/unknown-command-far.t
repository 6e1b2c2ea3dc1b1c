$ chaoseater frobnicate
! 2
--- stderr
chaoseater: no command is called 'frobnicate'; `chaoseater --help` lists them
