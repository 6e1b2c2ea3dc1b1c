/* SPDX-License-Identifier: MIT */
/* The page itself, and the description of the API: files that the build has put into the program.
 */
#include <string.h>

#include "api_js.h"
#include "app_css.h"
#include "app_js.h"
#include "chart_js.h"
#include "compare_js.h"
#include "control_js.h"
#include "dom_js.h"
#include "history_js.h"
#include "index_html.h"
#include "live_js.h"
#include "openapi_json.h"
#include "run_js.h"
#include "scene_js.h"
#include "trends_js.h"
#include "web/web_internal.h"

#define SCRIPT "text/javascript; charset=utf-8"

int ce_api_asset(const struct ce_web_request *request, struct ce_response *reply,
                 struct ce_error *err)
{
    static const struct {
        const char *path, *type, *text;
    } assets[] = {
        {"/", "text/html; charset=utf-8", index_html},
        {"/app.css", "text/css; charset=utf-8", app_css},
        {"/app.js", SCRIPT, app_js},
        {"/api.js", SCRIPT, api_js},
        {"/chart.js", SCRIPT, chart_js},
        {"/compare.js", SCRIPT, compare_js},
        {"/control.js", SCRIPT, control_js},
        {"/dom.js", SCRIPT, dom_js},
        {"/history.js", SCRIPT, history_js},
        {"/live.js", SCRIPT, live_js},
        {"/run.js", SCRIPT, run_js},
        {"/scene.js", SCRIPT, scene_js},
        {"/trends.js", SCRIPT, trends_js},
        {"/api/openapi.json", "application/json", openapi_json},
    };
    for (size_t i = 0; i < CE_COUNT(assets); i++) {
        if (strcmp(assets[i].path, request->path) == 0) {
            reply->fixed = assets[i].text;
            reply->type = assets[i].type;
            return 0;
        }
    }
    return ce_fail(err, ENOENT, "there is no '%.80s'", request->path);
}
