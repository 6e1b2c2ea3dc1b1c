$ chaoseater run plan.yaml --report json=missing/report.json
! 2
--- stderr
chaoseater: --report: cannot write 'missing/report.json': folder 'missing': No such file or directory
