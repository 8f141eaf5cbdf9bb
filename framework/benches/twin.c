/* The C twin of benches/latency.rs: what a C programmer would write over the same MPI library. */
#include <mpi.h>

/* Seconds for `rounds` ping-pongs of `bytes` between ranks 0 and 1 of MPI_COMM_WORLD. */
double rankine_twin_pingpong(char *buffer, int bytes, int rounds) {
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Barrier(MPI_COMM_WORLD);
    double start = MPI_Wtime();
    for (int i = 0; i < rounds; i++) {
        if (rank == 0) {
            MPI_Send(buffer, bytes, MPI_BYTE, 1, 7, MPI_COMM_WORLD);
            MPI_Recv(buffer, bytes, MPI_BYTE, 1, 7, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        } else {
            MPI_Recv(buffer, bytes, MPI_BYTE, 0, 7, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            MPI_Send(buffer, bytes, MPI_BYTE, 0, 7, MPI_COMM_WORLD);
        }
    }
    return MPI_Wtime() - start;
}

/* Seconds for `rounds` MPI_Allreduce of one double. */
double rankine_twin_allreduce(int rounds) {
    double value = 1.0, sum;
    MPI_Barrier(MPI_COMM_WORLD);
    double start = MPI_Wtime();
    for (int i = 0; i < rounds; i++)
        MPI_Allreduce(&value, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    return MPI_Wtime() - start;
}
