$ chaoseater demo --report xml=report.xml
! 2
--- stderr
chaoseater: --report: 'xml=report.xml' is not FORMAT=PATH with the format text, json, html, junit, github, markdown, tap, csv, gitlab, chaostoolkit or prometheus
