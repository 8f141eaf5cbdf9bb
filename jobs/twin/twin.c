/* The C twin of `rankine bench messaging`: what a C programmer would write over the same MPI library, compiled by the
 * same mpicc. Operations are numbered as in src/bench/operation.rs. Every function is entered by all ranks of
 * MPI_COMM_WORLD and returns the seconds of all rounds on this rank. */

#include <mpi.h>
#include <stdlib.h>

#define W MPI_COMM_WORLD
#define WINDOW 64
#define COLUMNS 64
#define BLOCK 32

static int rank, size;

/* Ranks 0 and 1 talk; the others only take part in what is collective. */
static double pingpong(char *send, char *recv, int bytes, int rounds) {
    double start = MPI_Wtime();
    for (int i = 0; i < rounds && rank < 2; i++) {
        if (rank == 0) {
            MPI_Send(send, bytes, MPI_BYTE, 1, 7, W);
            MPI_Recv(recv, bytes, MPI_BYTE, 1, 7, W, MPI_STATUS_IGNORE);
        } else {
            MPI_Recv(recv, bytes, MPI_BYTE, 0, 7, W, MPI_STATUS_IGNORE);
            MPI_Send(send, bytes, MPI_BYTE, 0, 7, W);
        }
    }
    return MPI_Wtime() - start;
}

/* Ping-pong of `rows` rows of `width` columns out of a wider row-major matrix of doubles. */
static double strided(char *send, char *recv, int rows, int width, int rounds) {
    MPI_Datatype part;
    MPI_Type_vector(rows, width, COLUMNS, MPI_DOUBLE, &part);
    MPI_Type_commit(&part);
    double *from = (double *)send + 5, *into = (double *)recv + 5;
    double start = MPI_Wtime();
    for (int i = 0; i < rounds && rank < 2; i++) {
        if (rank == 0) {
            MPI_Send(from, 1, part, 1, 7, W);
            MPI_Recv(into, 1, part, 1, 7, W, MPI_STATUS_IGNORE);
        } else {
            MPI_Recv(into, 1, part, 0, 7, W, MPI_STATUS_IGNORE);
            MPI_Send(from, 1, part, 0, 7, W);
        }
    }
    double time = MPI_Wtime() - start;
    MPI_Type_free(&part);
    return time;
}

static double nonblocking_pingpong(char *send, char *recv, int bytes, int rounds) {
    MPI_Request request;
    double start = MPI_Wtime();
    for (int i = 0; i < rounds && rank < 2; i++) {
        for (int leg = 0; leg < 2; leg++) {
            if (leg == rank)
                MPI_Isend(send, bytes, MPI_BYTE, 1 - rank, 7, W, &request);
            else
                MPI_Irecv(recv, bytes, MPI_BYTE, 1 - rank, 7, W, &request);
            MPI_Wait(&request, MPI_STATUS_IGNORE);
        }
    }
    return MPI_Wtime() - start;
}

/* On buffers of its own, as plans have in Rust. */
static double persistent_pingpong(int bytes, int rounds) {
    MPI_Request out, in;
    if (rank > 1)
        return 0;
    char *send = calloc(bytes + 1, 1), *recv = calloc(bytes + 1, 1);
    if (!send || !recv)
        MPI_Abort(W, 6);
    MPI_Send_init(send, bytes, MPI_BYTE, 1 - rank, 7, W, &out);
    MPI_Recv_init(recv, bytes, MPI_BYTE, 1 - rank, 7, W, &in);
    double start = MPI_Wtime();
    for (int i = 0; i < rounds; i++) {
        for (int leg = 0; leg < 2; leg++) {
            MPI_Request *request = leg == rank ? &out : &in;
            MPI_Start(request);
            MPI_Wait(request, MPI_STATUS_IGNORE);
        }
    }
    double time = MPI_Wtime() - start;
    MPI_Request_free(&out);
    MPI_Request_free(&in);
    free(send);
    free(recv);
    return time;
}

/* Windows of messages one way, each window acknowledged; with `both`, the two ways at once. */
static double windows(char *send, char *recv, int bytes, int rounds, int both) {
    MPI_Request requests[WINDOW];
    char ack = 0;
    double start = MPI_Wtime();
    for (int i = 0; i < rounds && rank < 2; i++) {
        int n = 0;
        if (rank == 0 || both)
            for (; n < WINDOW; n++)
                MPI_Isend(send, bytes, MPI_BYTE, 1 - rank, 7, W, &requests[n]);
        if (rank == 1 || both)
            for (int k = 0; k < WINDOW; k++)
                MPI_Recv(recv, bytes, MPI_BYTE, 1 - rank, 7, W, MPI_STATUS_IGNORE);
        MPI_Waitall(n, requests, MPI_STATUSES_IGNORE);
        if (rank == 0)
            MPI_Recv(&ack, 1, MPI_BYTE, 1, 8, W, MPI_STATUS_IGNORE);
        else
            MPI_Send(&ack, 1, MPI_BYTE, 0, 8, W);
    }
    return MPI_Wtime() - start;
}

/* One nonblocking exchange with computing between start and wait. */
static double exchange(char *send, char *recv, int bytes, int rounds, long computing) {
    MPI_Request requests[2];
    volatile double x = 1;
    double start = MPI_Wtime();
    for (int i = 0; i < rounds && rank < 2; i++) {
        MPI_Irecv(recv, bytes, MPI_BYTE, 1 - rank, 7, W, &requests[0]);
        MPI_Isend(send, bytes, MPI_BYTE, 1 - rank, 7, W, &requests[1]);
        for (long k = 0; k < computing; k++)
            x = x * 0.5 + 1;
        MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
    }
    return MPI_Wtime() - start;
}

enum {
    LATENCY, NONBLOCKING, PERSISTENT, BANDWIDTH, BIDIRECTIONAL, OVERLAP, EXCHANGE_COMPUTING,
    COLUMN, SUB_BLOCK,
    BARRIER, BCAST, REDUCE, ALLREDUCE, SCAN, EXSCAN, REDUCE_SCATTER, REDUCE_SCATTER_BLOCK,
    GATHER, GATHERV, SCATTER, SCATTERV, ALLGATHER, ALLGATHERV, ALLTOALL, ALLTOALLV,
    IBARRIER, IBCAST, IALLREDUCE, IALLGATHER, IALLTOALL
};

static int *counts, *places;

static void collective(int operation, char *send, char *recv, int bytes, int root) {
    MPI_Request request = MPI_REQUEST_NULL;
    int doubles = bytes / 8;
    switch (operation) {
    case BARRIER: MPI_Barrier(W); break;
    case BCAST: MPI_Bcast(send, bytes, MPI_BYTE, root, W); break;
    case REDUCE: MPI_Reduce(send, recv, doubles, MPI_DOUBLE, MPI_SUM, root, W); break;
    case ALLREDUCE: MPI_Allreduce(send, recv, doubles, MPI_DOUBLE, MPI_SUM, W); break;
    case SCAN: MPI_Scan(send, recv, doubles, MPI_DOUBLE, MPI_SUM, W); break;
    case EXSCAN: MPI_Exscan(send, recv, doubles, MPI_DOUBLE, MPI_SUM, W); break;
    case REDUCE_SCATTER: MPI_Reduce_scatter(send, recv, counts, MPI_DOUBLE, MPI_SUM, W); break;
    case REDUCE_SCATTER_BLOCK:
        MPI_Reduce_scatter_block(send, recv, counts[0], MPI_DOUBLE, MPI_SUM, W);
        break;
    case GATHER: MPI_Gather(send, bytes, MPI_BYTE, recv, bytes, MPI_BYTE, root, W); break;
    case GATHERV: MPI_Gatherv(send, bytes, MPI_BYTE, recv, counts, places, MPI_BYTE, root, W); break;
    case SCATTER: MPI_Scatter(send, bytes, MPI_BYTE, recv, bytes, MPI_BYTE, root, W); break;
    case SCATTERV: MPI_Scatterv(send, counts, places, MPI_BYTE, recv, bytes, MPI_BYTE, root, W); break;
    case ALLGATHER: MPI_Allgather(send, bytes, MPI_BYTE, recv, bytes, MPI_BYTE, W); break;
    case ALLGATHERV: MPI_Allgatherv(send, bytes, MPI_BYTE, recv, counts, places, MPI_BYTE, W); break;
    case ALLTOALL: MPI_Alltoall(send, bytes, MPI_BYTE, recv, bytes, MPI_BYTE, W); break;
    case ALLTOALLV:
        MPI_Alltoallv(send, counts, places, MPI_BYTE, recv, counts, places, MPI_BYTE, W);
        break;
    case IBARRIER: MPI_Ibarrier(W, &request); break;
    case IBCAST: MPI_Ibcast(send, bytes, MPI_BYTE, root, W, &request); break;
    case IALLREDUCE: MPI_Iallreduce(send, recv, doubles, MPI_DOUBLE, MPI_SUM, W, &request); break;
    case IALLGATHER: MPI_Iallgather(send, bytes, MPI_BYTE, recv, bytes, MPI_BYTE, W, &request); break;
    case IALLTOALL: MPI_Ialltoall(send, bytes, MPI_BYTE, recv, bytes, MPI_BYTE, W, &request); break;
    }
    if (operation >= IBARRIER)
        MPI_Wait(&request, MPI_STATUS_IGNORE);
}

/* One after the other, the root going round, so that no rank can run ahead for long. */
static double collectives(int operation, char *send, char *recv, int bytes, int rounds) {
    double start = MPI_Wtime();
    for (int i = 0; i < rounds; i++)
        collective(operation, send, recv, bytes, i % size);
    return MPI_Wtime() - start;
}

double rankine_twin(int operation, char *send, char *recv, int bytes, int rounds, long computing) {
    MPI_Comm_rank(W, &rank);
    MPI_Comm_size(W, &size);
    if (!counts) {
        counts = malloc(size * sizeof *counts);
        places = malloc(size * sizeof *places);
        if (!counts || !places)
            MPI_Abort(W, 6);
    }
    for (int i = 0; i < size; i++) {
        int reduced = operation == REDUCE_SCATTER || operation == REDUCE_SCATTER_BLOCK;
        counts[i] = reduced ? bytes / 8 / size : bytes;
        places[i] = i * counts[i];
    }
    MPI_Barrier(W);
    switch (operation) {
    case LATENCY: return pingpong(send, recv, bytes, rounds);
    case NONBLOCKING: return nonblocking_pingpong(send, recv, bytes, rounds);
    case PERSISTENT: return persistent_pingpong(bytes, rounds);
    case BANDWIDTH: return windows(send, recv, bytes, rounds, 0);
    case BIDIRECTIONAL: return windows(send, recv, bytes, rounds, 1);
    case OVERLAP: return exchange(send, recv, bytes, rounds, 0);
    case EXCHANGE_COMPUTING: return exchange(send, recv, bytes, rounds, computing);
    case COLUMN: return strided(send, recv, bytes / 8, 1, rounds);
    case SUB_BLOCK: return strided(send, recv, bytes / 8 / BLOCK, BLOCK, rounds);
    default: return collectives(operation, send, recv, bytes, rounds);
    }
}
