# Before anything runs, not after an hour.
$ chaoseater run plan.yaml --report pdf=report.pdf
! 2
--- stderr
chaoseater: --report: 'pdf=report.pdf' is not FORMAT=PATH with the format text, json, html, junit, github, markdown, tap, csv, gitlab, chaostoolkit or prometheus
