"""The declarations of MKL, for all modules, and the check that turns a status into an exception."""

cdef extern from "mkl.h" nogil:
    """
    _Static_assert(sizeof(MKL_INT) == 4, "nerva uses MKL's LP64 interface: 32-bit integers");
    """
    ctypedef int MKL_INT

    ctypedef struct _sparse_matrix
    ctypedef _sparse_matrix *sparse_matrix_t
    ctypedef int sparse_status_t
    ctypedef int sparse_operation_t
    ctypedef int sparse_layout_t
    ctypedef int sparse_index_base_t
    ctypedef struct matrix_descr "struct matrix_descr":
        int type
        int mode
        int diag

    const int SPARSE_STATUS_SUCCESS, SPARSE_INDEX_BASE_ZERO, SPARSE_LAYOUT_ROW_MAJOR
    const int SPARSE_OPERATION_NON_TRANSPOSE, SPARSE_MATRIX_TYPE_GENERAL

    sparse_status_t mkl_sparse_s_create_csr(sparse_matrix_t *, sparse_index_base_t, MKL_INT rows, MKL_INT cols,
                                            MKL_INT *, MKL_INT *, MKL_INT *, float *)
    sparse_status_t mkl_sparse_d_create_csr(sparse_matrix_t *, sparse_index_base_t, MKL_INT rows, MKL_INT cols,
                                            MKL_INT *, MKL_INT *, MKL_INT *, double *)
    sparse_status_t mkl_sparse_destroy(sparse_matrix_t)
    sparse_status_t mkl_sparse_set_mm_hint(sparse_matrix_t, sparse_operation_t, matrix_descr, sparse_layout_t,
                                           MKL_INT columns, MKL_INT calls)
    sparse_status_t mkl_sparse_optimize(sparse_matrix_t)
    sparse_status_t mkl_sparse_s_update_values(sparse_matrix_t, MKL_INT, const MKL_INT *, const MKL_INT *, float *)
    sparse_status_t mkl_sparse_d_update_values(sparse_matrix_t, MKL_INT, const MKL_INT *, const MKL_INT *, double *)
    sparse_status_t mkl_sparse_s_mm(sparse_operation_t, float, sparse_matrix_t, matrix_descr, sparse_layout_t,
                                    const float *, MKL_INT columns, MKL_INT ldx, float, float *, MKL_INT ldy)
    sparse_status_t mkl_sparse_d_mm(sparse_operation_t, double, sparse_matrix_t, matrix_descr, sparse_layout_t,
                                    const double *, MKL_INT columns, MKL_INT ldx, double, double *, MKL_INT ldy)

    ctypedef int CBLAS_LAYOUT
    ctypedef int CBLAS_TRANSPOSE
    const int CblasRowMajor, CblasNoTrans, CblasTrans
    void cblas_sgemm(CBLAS_LAYOUT, CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, MKL_INT M, MKL_INT N, MKL_INT K, float alpha,
                     const float *, MKL_INT, const float *, MKL_INT, float beta, float *, MKL_INT)
    void cblas_dgemm(CBLAS_LAYOUT, CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, MKL_INT M, MKL_INT N, MKL_INT K, double alpha,
                     const double *, MKL_INT, const double *, MKL_INT, double beta, double *, MKL_INT)

    const int MKL_INTERFACE_LP64, MKL_THREADING_INTEL, MKL_THREADING_GNU
    int MKL_Set_Interface_Layer(int)
    int MKL_Set_Threading_Layer(int)
    void MKL_Get_Version_String(char *, int)
    void MKL_Set_Num_Threads(int)
    int MKL_Set_Num_Threads_Local(int)

cdef extern from * nogil:
    """
    int omp_get_max_threads(void);
    void omp_set_num_threads(int);
    """
    int omp_get_max_threads()
    void omp_set_num_threads(int)

cdef int check(sparse_status_t status, str routine) except -1

cdef int threads() noexcept nogil
