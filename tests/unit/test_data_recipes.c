/* SPDX-License-Identifier: MIT */
/* What each data fault makes of small tables, byte for byte; what it skips, and what it refuses. */
#include "recipe_lab.h"

static uint64_t skipped(const struct lab *lab, const char *reason)
{
    for (size_t i = 0; i < CE_SKIP_REASONS_MAX && lab->counts.skipped[i].reason; i++)
        if (strcmp(lab->counts.skipped[i].reason, reason) == 0)
            return lab->counts.skipped[i].count;
    return 0;
}

/* ---- small tables: what must come out, byte for byte ---- */

static void small_tables_come_out_as_stated(void)
{
    static const struct {
        const char *fault, *name, *in, *out, *params[6];
    } cases[] = {
        {"data_corruption",
         "a.csv",
         "a,b\n1,x\n2.50,y\n007,z\n",
         "a,b\n10,x\n25.00,y\n070,z\n",
         {"corruption_rate=1", "kind=wrong_unit"}},
        {"data_corruption",
         "a.csv",
         "a,b\n1,x\n2,y\n",
         "a,b\n1000,x\n2000,y\n",
         {"corruption_rate=1", "kind=wrong_unit", "factor=1000"}},
        {"data_corruption",
         "a.csv",
         "a,b\n1,M\xc3\xbcller\n2,Bob\n3,\"\xe2\x82\xac, 5\"\n",
         "a,b\n1,M\xc3\x83\xc2\xbcller\n2,Bob\n3,\"\xc3\xa2\xe2\x80\x9a\xc2\xac, 5\"\n",
         {"corruption_rate=1", "kind=mojibake"}},
        {"data_corruption",
         "a.csv",
         "a,b\n73,true\n12.5,false\n",
         "a,b\n73.0,1\n\"12,5\",0\n",
         {"corruption_rate=1", "kind=mistype", "columns=*"}},
        {"data_corruption",
         "a.csv",
         "a,b\n73,x\n12.5,y\n",
         "a,b\n\"73,0\",x\n\"12,5\",y\n",
         {"corruption_rate=1", "kind=mistype", "as=comma"}},
        {"data_corruption",
         "a.csv",
         "a,b\n73,x\n12.5,y\n",
         "a,b\n73.0,x\n12.5,y\n",
         {"corruption_rate=1", "kind=mistype", "as=float"}},
        {"data_corruption",
         "a.jsonl",
         "{\"a\":73,\"b\":\"x\"}\n",
         "{\"a\":73.0,\"b\":\"x\"}\n",
         {"corruption_rate=1", "kind=mistype"}},
        {"data_corruption",
         "a.csv",
         "a,b\n1,x y\n2,left right\n3,z\n",
         "a,b\n1,y x\n2,right left\n3,z\n",
         {"corruption_rate=1", "kind=permute"}},
        {"data_corruption",
         "a.csv",
         "a,b\n1,x-y\n2,z\n",
         "a,b\n1,y-x\n2,z\n",
         {"corruption_rate=1", "kind=permute", "separator=-"}},
        {"data_corruption",
         "a.csv",
         "a,b\n1,red\n2,\n3,\"a,b\"\n",
         "a,b\nred,1\n2,\n\"a,b\",\"3\"\n",
         {"corruption_rate=1", "kind=swap", "columns=a", "with=b"}},
        {"data_corruption",
         "a.csv",
         "a,b\n1,20\n3,40\n",
         "a,b\n20,1\n40,3\n",
         {"corruption_rate=1", "kind=swap", "columns=a", "with=b"}},
        {"data_corruption",
         "a.csv",
         "a,b\n1,red\n2,red\n3,blue\n",
         "a,b\n1,blue\n2,blue\n3,red\n",
         {"corruption_rate=1", "kind=category_swap"}},
        {"missing_data", "a.csv", "a,b\n1,x\n2,y\n", "a,b\n,\n,\n", {"missing_rate=1"}},
        {"missing_data",
         "a.csv",
         "a,b\n1,x\n,y\n",
         "a,b\nNA,NA\n,NA\n",
         {"missing_rate=1", "as=NA"}},
        {"missing_data", "a.csv", "a,b\n1,x\n", "a,b\n\\N,\\N\n", {"missing_rate=1", "as=\\N"}},
        {"missing_data",
         "a.jsonl",
         "{\"a\":1,\"b\":\"x\"}\n",
         "{\"a\":null,\"b\":null}\n",
         {"missing_rate=1"}},
        {"missing_data",
         "a.jsonl",
         "{\"a\":1,\"b\":\"x\"}\n",
         "{\"b\":\"x\"}\n",
         {"missing_rate=1", "as=absent", "columns=a"}},
        {"missing_data",
         "a.csv",
         "age,b\n1,x\n50,y\n",
         "age,b\n1,x\n,\n",
         {"missing_rate=1", "where=age > 30"}},
        {"schema_drift",
         "a.csv",
         "a,b\n1,x\n2,y\n",
         "a,b,unexpected_column\n1,x,0\n2,y,0\n",
         {"drift_type=add_column"}},
        {"schema_drift",
         "a.jsonl",
         "{\"a\":1}\n",
         "{\"a\":1,\"c\":\"new\"}\n",
         {"drift_type=add_column", "column_name=c", "value=new"}},
        {"schema_drift",
         "a.csv",
         "a,b,c\n1,x,7\n2,y,8\n",
         "a,c\n1,7\n2,8\n",
         {"drift_type=remove_column", "column_name=b"}},
        {"schema_drift",
         "a.csv",
         "a,b\r\n1,x\r\n",
         "a,bb\r\n1,x\r\n",
         {"drift_type=rename_column", "old_name=b", "new_name=bb"}},
        {"schema_drift",
         "a.csv",
         "a,b\n1,x\n2,y\n",
         "b,a\nx,1\ny,2\n",
         {"drift_type=reorder_columns"}},
        {"schema_drift",
         "a.csv",
         "a,b\n1.5,x\n2,y\n,z\n",
         "a,b\n1.5 u,x\n2 u,y\n,z\n",
         {"drift_type=type_change", "column_name=a"}},
        {"schema_drift",
         "a.csv",
         "a,b\n1.5,x\n2,y\n",
         "a,b\n\"1,5\",x\n\"2,0\",y\n",
         {"drift_type=type_change", "column_name=a", "as=locale"}},
        {"schema_drift",
         "a.jsonl",
         "{\"a\":1.5}\n",
         "{\"a\":\"'1.5'\"}\n",
         {"drift_type=type_change", "column_name=a", "as=quoted"}},
        {"distribution_drift", "a.csv", "a\n1.0\n3.0\n", "a\n3.0\n6.0\n", {"magnitude=0.5"}},
        {"distribution_drift",
         "a.csv",
         "a\n1.0\n3.0\n",
         "a\n1.5\n4.5\n",
         {"magnitude=0.5", "what=scale"}},
        {"distribution_drift",
         "a.csv",
         "a\n1.00\n3.00\n",
         "a\n2.41\n4.41\n",
         {"magnitude=1", "what=offset"}},
        {"distribution_drift",
         "a.csv",
         "a,b\n1,x\n2,x\n3,x\n4,y\n5,y\n6,z\n",
         "a,b\n1,y\n2,y\n3,y\n4,z\n5,z\n6,x\n",
         {"magnitude=1", "what=rotation"}},
        {"distribution_drift",
         "a.csv",
         "a,b\n1,x\n2,y\n",
         "a,b\n1,y\n2,y\n",
         {"what=resample", "category=y", "share=1"}},
        {"outlier_injection",
         "a.csv",
         "a\n1.0\n3.0\n",
         "a\n6.3\n6.3\n",
         {"outlier_rate=1", "direction=up"}},
        {"outlier_injection",
         "a.csv",
         "a\n1\n3\n",
         "a\n-3\n-3\n",
         {"outlier_rate=1", "direction=down"}},
        {"outlier_injection",
         "a.csv",
         "a\n0\n1\n2\n3\n4\n",
         "a\n7\n7\n7\n7\n7\n",
         {"outlier_rate=1", "direction=up", "rule=iqr", "magnitude=2"}},
        {"duplicate_records", "a.csv", "a\n1\n2\n", "a\n1\n2\n1\n2\n", {"duplication_rate=1"}},
        {"duplicate_records",
         "a.csv",
         "a\n1\n2",
         "a\n1\n1\n2\n2",
         {"duplication_rate=1", "place=next"}},
        {"duplicate_records",
         "a.csv",
         "a,b\n1,Bob\n",
         "a,b\n1,Bob\n1,BOB\n",
         {"duplication_rate=1", "kind=near", "variation=case"}},
        {"duplicate_records",
         "a.jsonl",
         "{\"a\":1,\"b\":\"B. O\"}\n",
         "{\"a\":1,\"b\":\"B. O\"}\n{\"a\":1,\"b\":\"B O\"}\n",
         {"duplication_rate=1", "kind=near", "variation=punctuation"}},
        {"row_drop", "a.csv", "a\n1\n2\n3\n", "a\n1\n3\n", {"drop_rate=1", "where=a = 2"}},
        {"stale_data", "a.csv", "a\n1\n2\n3\n", "a\n1\n2\n3\n1\n2\n3\n", {"stale_rate=1", "lag=3"}},
        {"stale_data", "a.csv", "a\n1\n2\n3\n", "a\n1\n2\n1\n3\n2\n3\n", {"stale_rate=1", "lag=1"}},
        {"label_noise", "a.csv", "a,y\n1,0\n2,1\n", "a,y\n1,1\n2,0\n", {"noise_rate=1"}},
        {"label_noise",
         "a.csv",
         "a,y\n1,cat\n2,dog\n",
         "a,y\n1,fox\n2,dog\n",
         {"noise_rate=1", "confusion=cat>fox:1"}},
        {"label_noise",
         "a.jsonl",
         "{\"a\":1,\"y\":true}\n{\"a\":2,\"y\":false}\n",
         "{\"a\":1,\"y\":false}\n{\"a\":2,\"y\":true}\n",
         {"noise_rate=1"}},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        LAB(lab);
        lab.label = strcmp(cases[i].fault, "label_noise") == 0 ? "y" : NULL;
        int r = lab_run(&lab, cases[i].name, cases[i].in, cases[i].fault, cases[i].params);
        if (r < 0)
            printf("# %s %s %s: %s\n", cases[i].fault, cases[i].params[0], cases[i].params[1],
                   lab.err.message);
        CHECK(r == 0);
        CHECK_TEXT(lab.out, cases[i].out);
    }
}

static void what_does_not_apply_is_skipped_with_its_reason(void)
{
    static const struct {
        const char *fault, *in, *reason, *params[5];
    } cases[] = {
        {"data_corruption", "a,b\n1,x\n,y\n", "missing", {"corruption_rate=1"}},
        {"data_corruption",
         "a,b\n1,x\n2,y\n",
         "only ASCII",
         {"corruption_rate=1", "kind=mojibake"}},
        {"data_corruption",
         "a,b\n1,x\n2,y\n",
         "only one part",
         {"corruption_rate=1", "kind=permute"}},
        {"data_corruption",
         "a,b\n0,x\n2,y\n",
         "no change",
         {"corruption_rate=1", "kind=wrong_unit"}},
        {"data_corruption",
         "a,b\n7,x\n12,y\n",
         "no digits to lose",
         {"corruption_rate=1", "kind=truncate", "columns=a"}},
        {"data_corruption",
         "a,b\n7,x\n12,xy\n",
         "nothing to cut",
         {"corruption_rate=1", "kind=truncate"}},
        {"data_corruption",
         "a,b\n7,\n12,x\n",
         "nothing to swap with",
         {"corruption_rate=1", "kind=swap", "columns=a", "with=b"}},
        {"data_corruption",
         "a,b\n7,x\n12,x\n",
         "no other category",
         {"corruption_rate=1", "kind=category_swap", "columns=b"}},
        {"outlier_injection", "a,b\n7,1\n7,2\n", "no spread", {"outlier_rate=1"}},
        {"distribution_drift", "a,b\n7,1\n8,2\n", "outside the shape", {"shape=step"}},
        {"distribution_drift",
         "a,b\n7,x\n8,y\n",
         "no such category in the column",
         {"what=resample", "category=z"}},
        {"label_noise",
         "a,y\n7,x\n8,z\n",
         "kept by the matrix",
         {"noise_rate=1", "columns=y", "confusion=x>z:1"}},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        LAB(lab);
        REQUIRE_OK(lab_run(&lab, "a.csv", cases[i].in, cases[i].fault, cases[i].params), lab.err);
        if (skipped(&lab, cases[i].reason) == 0)
            printf("# %s %s: %s\n", cases[i].fault, cases[i].params[1], lab.out);
        CHECK(skipped(&lab, cases[i].reason) > 0);
        uint64_t all = lab.counts.changed;
        for (size_t k = 0; k < CE_SKIP_REASONS_MAX; k++)
            all += lab.counts.skipped[k].count;
        CHECK(all == lab.counts.selected);
    }
}

static void contradictions_are_refused_in_one_sentence(void)
{
    static const struct {
        const char *fault, *says, *params[5];
    } cases[] = {
        {"data_corruption", "with: kind: swap needs", {"kind=swap"}},
        {"data_corruption", "with: goes with kind: swap", {"with=a"}},
        {"data_corruption", "goes with stage: train", {"kind=swap", "with=a", "stage=serve"}},
        {"data_corruption",
         "mechanism: 'mcr' is not one of mcar, mar, mar(COLUMN), mnar",
         {"mechanism=mcr"}},
        {"data_corruption", "where: ", {"where=age >"}},
        {"data_corruption", "where: needs the whole table", {"where=age > 3", "stage=serve"}},
        {"data_corruption", "exact: needs the whole table", {"exact=true", "stage=serve"}},
        {"data_corruption", "mechanism: needs the whole table", {"mechanism=mnar", "stage=serve"}},
        {"data_corruption", "nested: ", {"nested=false"}},
        {"missing_data", "as: 'nix' is not one of empty", {"as=nix"}},
        {"missing_data", "as: absent", {"as=absent", "stage=serve"}},
        {"schema_drift",
         "column_name: drift_type: remove_column needs",
         {"drift_type=remove_column"}},
        {"schema_drift", "column_name: drift_type: type_change needs", {"drift_type=type_change"}},
        {"schema_drift",
         "old_name: drift_type: rename_column needs both",
         {"drift_type=rename_column", "new_name=x"}},
        {"schema_drift", "where: goes with drift_type: type_change", {"where=a > 1"}},
        {"distribution_drift", "category: goes with what: resample", {"what=resample"}},
        {"distribution_drift", "category: goes with what: resample", {"category=x"}},
        {"distribution_drift", "shape: needs the whole table", {"shape=ramp", "stage=serve"}},
        {"distribution_drift",
         "from: 0.8 is not before to: 0.2",
         {"shape=segment", "from=0.8", "to=0.2"}},
        {"duplicate_records", "variation: goes with kind: near", {"variation=case"}},
        {"duplicate_records", "mechanism: a row has no value of its own", {"mechanism=mnar"}},
        {"row_drop", "mechanism: a row has no value of its own", {"mechanism=mnar"}},
        {"stale_data", "lag: 70000 is outside", {"lag=70000"}},
        {"label_noise", "columns: nobody says which column holds the labels", {"noise_rate=1"}},
        {"label_noise", "confusion: 'a>a:1' is no flip", {"confusion=a>a:1"}},
        {"label_noise", "confusion: 'a-b' is no flip", {"confusion=a-b"}},
        {"label_noise", "confusion: 'a>b:2' is no flip", {"confusion=a>b:2"}},
        {"label_noise",
         "confusion: the shares of 'a' add up to 1.2",
         {"confusion=a>b:0.6, a>c:0.6"}},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        LAB(lab);
        CHECK(lab_run(&lab, "a.csv", "age,a,b\n1,2,x\n", cases[i].fault, cases[i].params) < 0);
        if (!strstr(lab.err.message, cases[i].says))
            CHECK_TEXT(lab.err.message, cases[i].says);
    }
}

/* ---- texts ---- */

static void texts_go_wrong_in_their_way(void)
{
    static const char text[] = "n,note\n1,hello world\n2,Fn+F4 key\n3,\"say \"\"hi\"\", now\"\n"
                               "4,\xd0\x9f\xd1\x80\xd0\xb8\n5,abcdefghijklmnopqrstuvwxyz\n";
    static const char *const kinds[] = {"kind=typo", "kind=truncate", "kind=bit_flip",
                                        "kind=permute"};
    for (size_t i = 0; i < CE_COUNT(kinds); i++) {
        LAB(lab);
        REQUIRE_OK(RUN(&lab, "t.csv", text, "data_corruption", "corruption_rate=1", kinds[i],
                       "columns=note"),
                   lab.err);
        CHECK(lab.counts.selected == 5 && lab.counts.changed >= 2);
        /* Whatever became of it, it still is a row of two cells. */
        CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
        REQUIRE_OK(ce_profile_read(folder_file(&lab.folder, "out-t.csv"), 0, 1, &profile, &lab.err),
                   lab.err);
        CHECK(profile.rows == 5 && profile.column_count == 2 && profile.columns[1].cells == 5);
    }
    LAB(lab);
    /* One key in ten, at least one: 26 letters have two. */
    REQUIRE_OK(RUN(&lab, "t.csv", "note\nabcdefghijklmnopqrstuvwxyz\n", "data_corruption",
                   "corruption_rate=1", "kind=typo"),
               lab.err);
    size_t errors = 0;
    for (size_t i = 0; i < 26; i++)
        errors += lab.out[strlen("note\n") + i] != 'a' + (char)i;
    CHECK(errors == 2 && lab.size == strlen("note\n") + 27);
}

static void bits_flip_one_at_a_time(void)
{
    static const char text[] = "note\nhello\n";
    LAB(lab);
    REQUIRE_OK(RUN(&lab, "t.csv", text, "data_corruption", "corruption_rate=1", "kind=bit_flip",
                   "columns=note"),
               lab.err);
    REQUIRE(lab.size == strlen(text));
    int bits = 0;
    for (size_t i = 0; i < lab.size; i++)
        bits += __builtin_popcount((unsigned)(text[i] ^ lab.out[i]));
    CHECK(bits == 1);
    REQUIRE_OK(RUN(&lab, "t.csv", "a\n1.50\n73.25\n1000.00\n", "data_corruption",
                   "corruption_rate=1", "kind=bit_flip"),
               lab.err);
    CHECK(lab.counts.changed == 3);
}

int main(void)
{
    TEST(small_tables_come_out_as_stated);
    TEST(what_does_not_apply_is_skipped_with_its_reason);
    TEST(contradictions_are_refused_in_one_sentence);
    TEST(texts_go_wrong_in_their_way);
    TEST(bits_flip_one_at_a_time);
    return test_done();
}
