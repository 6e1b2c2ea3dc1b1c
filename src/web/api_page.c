/* SPDX-License-Identifier: MIT */
/* The page itself, and the description of the API: files that the build has put into the program.
 */
#include "app_css.h"
#include "app_js.h"
#include "chart_js.h"
#include "index_html.h"
#include "openapi_json.h"
#include "web/web_internal.h"

static int give(struct ce_response *reply, const char *text, const char *type)
{
    reply->fixed = text;
    reply->type = type;
    return 0;
}

int ce_api_page(const struct ce_web_request *request, struct ce_response *reply,
                struct ce_error *err)
{
    (void)request, (void)err;
    return give(reply, index_html, "text/html; charset=utf-8");
}

int ce_api_script(const struct ce_web_request *request, struct ce_response *reply,
                  struct ce_error *err)
{
    (void)request, (void)err;
    return give(reply, app_js, "text/javascript; charset=utf-8");
}

int ce_api_chart(const struct ce_web_request *request, struct ce_response *reply,
                 struct ce_error *err)
{
    (void)request, (void)err;
    return give(reply, chart_js, "text/javascript; charset=utf-8");
}

int ce_api_style(const struct ce_web_request *request, struct ce_response *reply,
                 struct ce_error *err)
{
    (void)request, (void)err;
    return give(reply, app_css, "text/css; charset=utf-8");
}

int ce_api_openapi(const struct ce_web_request *request, struct ce_response *reply,
                   struct ce_error *err)
{
    (void)request, (void)err;
    return give(reply, openapi_json, NULL);
}
