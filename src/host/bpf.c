/* SPDX-License-Identifier: MIT */
#include "host/bpf.h"

#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Newer than the headers of Debian 12. */
enum { TCX_INGRESS = 46, TCX_EGRESS = 47 };
enum { GO_ON = -1 }; /* with the next filter: TCX_NEXT and TC_ACT_UNSPEC */
enum { DROP = 2 };   /* TCX_DROP and TC_ACT_SHOT */

/* What a value is for. Loads from the packet want the context in 6, give the value in 0, and leave
 * none of 1 to 5 as it was. */
enum { VALUE = BPF_REG_0, CONTEXT = BPF_REG_6, INDEX = BPF_REG_7, MAP = BPF_REG_8 };

static int bpf(enum bpf_cmd command, union bpf_attr *attr)
{
    return (int)syscall(SYS_bpf, command, attr, sizeof *attr);
}

/* ---- the map ---- */

int ce_bpf_loss_map(int *ret_map, struct ce_bpf_loss **ret_loss, struct ce_error *err)
{
    union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY,
                           .key_size = sizeof(uint32_t),
                           .value_size = sizeof(struct ce_bpf_loss),
                           .max_entries = 1,
                           .map_flags = BPF_F_MMAPABLE};
    ce_autofd int map = bpf(BPF_MAP_CREATE, &attr);
    if (map < 0)
        return ce_fail(err, errno, "bpf programs may not be loaded by this user: %s",
                       strerror(errno));
    void *loss = mmap(NULL, sizeof(struct ce_bpf_loss), PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
    if (loss == MAP_FAILED)
        return ce_fail(err, errno, "cannot map a bpf map: %s", strerror(errno));
    *ret_loss = loss;
    *ret_map = ce_take_fd(map);
    return 0;
}

void ce_bpf_loss_unmap(struct ce_bpf_loss *loss)
{
    if (loss)
        (void)munmap(loss, sizeof *loss);
}

/* ---- the program ---- */

enum { PROGRAM_MAX = 4 * CE_MATCH_MAX };
struct program {
    struct bpf_insn code[PROGRAM_MAX];
    size_t count;
};

static void put(struct program *program, int code, int to, int from, int offset, int32_t value)
{
    program->code[program->count++] = (struct bpf_insn){.code = (__u8)code,
                                                        .dst_reg = to & 15,
                                                        .src_reg = from & 15,
                                                        .off = (__s16)offset,
                                                        .imm = value};
}

static void leave(struct program *program, int32_t verdict)
{
    put(program, BPF_ALU64 | BPF_MOV | BPF_K, VALUE, 0, 0, verdict);
    put(program, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* How many instructions the new ones for an old one are. */
static size_t length_of(const struct sock_filter *old)
{
    switch (BPF_CLASS(old->code)) {
    case BPF_LD:
        return BPF_MODE(old->code) == BPF_ABS && old->k == (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL)
                   ? 2
                   : 1;
    case BPF_LDX:
        return BPF_MODE(old->code) == BPF_MSH ? 4 : 1;
    case BPF_JMP:
        return BPF_OP(old->code) == BPF_JA ? 1 : 2;
    case BPF_RET:
        return old->k == 0 ? 2 : 1;
    default:
        return 1;
    }
}

static void put_load(struct program *program, const struct sock_filter *old)
{
    int size = BPF_SIZE(old->code);
    if (BPF_MODE(old->code) == BPF_IND) {
        put(program, BPF_LD | BPF_IND | size, 0, INDEX, 0, (int32_t)old->k);
    } else if (old->k == (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL)) {
        put(program, BPF_LDX | BPF_MEM | BPF_W, VALUE, CONTEXT,
            offsetof(struct __sk_buff, protocol), 0);
        put(program, BPF_ALU | BPF_END | BPF_TO_BE, VALUE, 0, 0, 16);
    } else {
        put(program, BPF_LD | BPF_ABS | size, 0, 0, 0, (int32_t)old->k);
    }
}

static void put_index(struct program *program, const struct sock_filter *old)
{
    if (BPF_MODE(old->code) != BPF_MSH) {
        put(program, BPF_ALU64 | BPF_MOV | BPF_K, INDEX, 0, 0, (int32_t)old->k);
        return;
    }
    put(program, BPF_LD | BPF_ABS | BPF_B, 0, 0, 0, (int32_t)old->k);
    put(program, BPF_ALU64 | BPF_AND | BPF_K, VALUE, 0, 0, 15);
    put(program, BPF_ALU64 | BPF_LSH | BPF_K, VALUE, 0, 0, 2);
    put(program, BPF_ALU64 | BPF_MOV | BPF_X, INDEX, VALUE, 0, 0);
}

/* The program of packet_match.c in the new instructions: of the old ones, those that it uses. What
 * fits goes on behind it. */
static void put_match(struct program *program, const struct ce_packet_match *match)
{
    size_t at[CE_MATCH_MAX + 1];
    at[0] = program->count;
    for (size_t i = 0; i < match->count; i++)
        at[i + 1] = at[i] + length_of(&match->code[i]);
    for (size_t i = 0; i < match->count; i++) {
        const struct sock_filter *old = &match->code[i];
        size_t here = at[i];
        switch (BPF_CLASS(old->code)) {
        case BPF_LD:
            put_load(program, old);
            break;
        case BPF_LDX:
            put_index(program, old);
            break;
        case BPF_ALU:
            put(program, BPF_ALU | BPF_AND | BPF_K, VALUE, 0, 0, (int32_t)old->k);
            break;
        case BPF_JMP:
            if (BPF_OP(old->code) == BPF_JA) {
                put(program, BPF_JMP | BPF_JA, 0, 0, (int)(at[i + 1 + old->k] - here) - 1, 0);
                break;
            }
            put(program, BPF_JMP32 | BPF_OP(old->code) | BPF_K, VALUE, 0,
                (int)(at[i + 1 + old->jt] - here) - 1, (int32_t)old->k);
            put(program, BPF_JMP | BPF_JA, 0, 0, (int)(at[i + 1 + old->jf] - here) - 2, 0);
            break;
        default:
            if (old->k == 0)
                leave(program, GO_ON);
            else
                put(program, BPF_JMP | BPF_JA, 0, 0, (int)(at[match->count] - here) - 1, 0);
        }
    }
}

static void put_add_one(struct program *program, size_t where)
{
    put(program, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 1);
    put(program, BPF_STX | BPF_ATOMIC | BPF_DW, MAP, BPF_REG_2, (int)where, BPF_ADD);
}

static void put_draw(struct program *program, int map)
{
    put(program, BPF_LD | BPF_IMM | BPF_DW, MAP, BPF_PSEUDO_MAP_VALUE, 0, map);
    put(program, 0, 0, 0, 0, 0);
    put_add_one(program, offsetof(struct ce_bpf_loss, seen));
    put(program, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_prandom_u32);
    put(program, BPF_ALU | BPF_MOV | BPF_X, VALUE, VALUE, 0, 0); /* 32 bits of it */
    put(program, BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_1, MAP,
        offsetof(struct ce_bpf_loss, threshold), 0);
    put(program, BPF_JMP | BPF_JLT | BPF_X, VALUE, BPF_REG_1, 2, 0);
    leave(program, GO_ON);
    put_add_one(program, offsetof(struct ce_bpf_loss, hit));
    leave(program, DROP);
}

int ce_bpf_loss_program(int map, const struct ce_packet_match *match, struct ce_error *err)
{
    static const char license[] = "Dual MIT/GPL";
    char log[512] = "";
    struct program program;
    program.count = 0;
    put(&program, BPF_ALU64 | BPF_MOV | BPF_X, CONTEXT, BPF_REG_1, 0, 0);
    put_match(&program, match);
    put_draw(&program, map);
    union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SCHED_CLS,
                           .insn_cnt = (__u32)program.count,
                           .insns = (uintptr_t)program.code,
                           .license = (uintptr_t)license,
                           .prog_name = "ce_loss"};
    int fd = bpf(BPF_PROG_LOAD, &attr);
    if (fd >= 0)
        return fd;
    int code = errno;
    attr.log_level = 1;
    attr.log_buf = (uintptr_t)log;
    attr.log_size = sizeof log;
    fd = bpf(BPF_PROG_LOAD, &attr);
    if (fd >= 0)
        return fd;
    log[strcspn(log, "\n")] = '\0';
    return ce_fail(err, code, "the kernel takes no bpf program of ours: %s%s%s", strerror(code),
                   log[0] ? ": " : "", log);
}

int ce_bpf_attach(int program, int interface, bool leaving)
{
    union bpf_attr attr = {.link_create = {.prog_fd = (__u32)program,
                                           .target_ifindex = (__u32)interface,
                                           .attach_type = leaving ? TCX_EGRESS : TCX_INGRESS}};
    int fd = bpf(BPF_LINK_CREATE, &attr);
    return fd < 0 ? -errno : fd;
}
