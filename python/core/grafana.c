/* SPDX-License-Identifier: MIT */
/* Dashboards and alert rules for Grafana. */
#include "core.h"

/* Panels from the argument `panels`, a sequence of paths. */
static bool dashboard_read(PyObject *panels, struct core_texts *ret_panels,
                           struct ce_grafana_dashboard_options *dashboard)
{
    if (panels && !core_texts_read(panels, ret_panels))
        return false;
    dashboard->panels = ret_panels->items;
    dashboard->panel_count = ret_panels->count;
    return true;
}

static bool min_score_read(PyObject *score, struct ce_grafana_alert_options *alerts)
{
    alerts->has_min_score = score && score != Py_None;
    if (alerts->has_min_score)
        alerts->min_score = PyFloat_AsDouble(score);
    return !PyErr_Occurred();
}

static PyObject *grafana_dashboard(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"title", "panels", NULL};
    struct ce_grafana_dashboard_options options = {0};
    struct core_texts texts = {0};
    PyObject *panels = NULL;
    char *text = NULL;
    struct ce_error err = {0};
    int r;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|zO:grafana_dashboard", names, &options.title,
                                     &panels) ||
        !dashboard_read(panels, &texts, &options))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    r = ce_grafana_dashboard(&options, &text, &err);
    Py_END_ALLOW_THREADS;
    core_texts_free(&texts);
    return core_text_or_raise(r, text, &err);
}

static PyObject *grafana_alerts(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"format",         "json",         "datasource", "min_score",
                            "max_error_rate", "max_recovery", NULL};
    struct ce_grafana_alert_options options = {0};
    PyObject *min_score = NULL;
    char *text = NULL;
    struct ce_error err = {0};
    int json = 0, r;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|zpzOzz:grafana_alerts", names, &options.format,
                                     &json, &options.datasource, &min_score,
                                     &options.max_error_rate, &options.max_recovery) ||
        !min_score_read(min_score, &options))
        return NULL;
    options.json = json;
    Py_BEGIN_ALLOW_THREADS;
    r = ce_grafana_alerts(&options, &text, &err);
    Py_END_ALLOW_THREADS;
    return core_text_or_raise(r, text, &err);
}

static PyObject *grafana_push(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"url",        "token",     "folder",         "title",        "panels",
                            "datasource", "min_score", "max_error_rate", "max_recovery", NULL};
    struct ce_grafana_dashboard_options dashboard = {0};
    struct ce_grafana_alert_options alerts = {0};
    struct ce_grafana_push_options options = {.dashboard = &dashboard, .alerts = &alerts};
    struct core_texts texts = {0};
    PyObject *panels = NULL, *min_score = NULL;
    char *text = NULL;
    struct ce_error err = {0};
    int r;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "ss|zzOzOzz:grafana_push", names, &options.url,
                                     &options.token, &options.folder, &dashboard.title, &panels,
                                     &alerts.datasource, &min_score, &alerts.max_error_rate,
                                     &alerts.max_recovery) ||
        !min_score_read(min_score, &alerts) || !dashboard_read(panels, &texts, &dashboard))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    r = ce_grafana_push(&options, &text, &err);
    Py_END_ALLOW_THREADS;
    core_texts_free(&texts);
    return core_text_or_raise(r, text, &err);
}

PyMethodDef core_grafana_methods[] = {
    {"grafana_dashboard", (PyCFunction)(void (*)(void))grafana_dashboard,
     METH_VARARGS | METH_KEYWORDS, NULL},
    {"grafana_alerts", (PyCFunction)(void (*)(void))grafana_alerts, METH_VARARGS | METH_KEYWORDS,
     NULL},
    {"grafana_push", (PyCFunction)(void (*)(void))grafana_push, METH_VARARGS | METH_KEYWORDS, NULL},
    {0},
};
