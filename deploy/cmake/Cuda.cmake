# What libcoshard_cuda.so is built with; included by Torch.cmake when COSHARD_CUDA is on. Asking for the impossible is an
# error, never a feature that goes missing quietly. Needs no system CUDA: nvcc and the libraries are the wheel's own.
#   torch_cuda       torch plus ATen's CUDA half, the CUDA run time and NCCL; no driver library is ever linked
#   CUDA (language)  nvcc with the C++ compiler of the build as its host compiler
set(coshard_cuda_help "run deploy/setup cuda, or configure with -DCOSHARD_CUDA=OFF")

foreach(needed cu13/include/cuda_runtime_api.h cu13/lib/libcudart.so.13 cu13/lib/libcublas.so.13 nccl/include/nccl.h
        nccl/lib/libnccl.so.2)
  if(NOT EXISTS ${COSHARD_NVIDIA_DIR}/${needed})
    message(FATAL_ERROR "the CUDA module was asked for (-DCOSHARD_CUDA=ON), which needs ${COSHARD_NVIDIA_DIR}/${needed}; "
      "it is not there: ${coshard_cuda_help}")
  endif()
endforeach()
if(NOT EXISTS ${COSHARD_TORCH_DIR}/lib/libtorch_cuda.so)
  message(FATAL_ERROR "the CUDA module was asked for (-DCOSHARD_CUDA=ON), but the libtorch in ${COSHARD_TORCH_DIR} is a "
    "CPU build: take the CUDA wheel, or configure with -DCOSHARD_CUDA=OFF")
endif()

# The wheel's nvcc, else one on the path; the same major version as the libraries either way.
find_program(COSHARD_NVCC nvcc HINTS ${COSHARD_NVIDIA_DIR}/cu13/bin DOC "CUDA 13 compiler")
if(NOT COSHARD_NVCC)
  message(FATAL_ERROR "the CUDA module was asked for (-DCOSHARD_CUDA=ON), but there is no nvcc in "
    "${COSHARD_NVIDIA_DIR}/cu13/bin or on the path: ${coshard_cuda_help}")
endif()
execute_process(COMMAND ${COSHARD_NVCC} --version OUTPUT_VARIABLE nvcc_text ERROR_VARIABLE nvcc_text)
string(REGEX MATCH "release ([0-9]+)\\.([0-9]+)" nvcc_release "${nvcc_text}")
if(NOT CMAKE_MATCH_1 STREQUAL "13")
  message(FATAL_ERROR "nvcc 13 was expected, ${COSHARD_NVCC} says '${nvcc_release}': ${coshard_cuda_help}")
endif()

if(COSHARD_SANITIZE)
  message(FATAL_ERROR "-DCOSHARD_CUDA=ON and -DCOSHARD_SANITIZE exclude each other: nvcc does not take sanitizer flags")
endif()

set(CMAKE_CUDA_COMPILER ${COSHARD_NVCC})
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
else()
  set(CMAKE_CUDA_HOST_COMPILER g++)
endif()
# Machine code for the data-centre generations 80 and 90, which also run on their consumer cousins, and PTX of the
# latter for whatever comes after. Never "native": the builder may have no GPU.
set(CMAKE_CUDA_ARCHITECTURES 80-real 90 CACHE STRING "CUDA architectures")
set(CMAKE_CUDA_RUNTIME_LIBRARY None)
# As for C++: optimised, never NDEBUG.
set(CMAKE_CUDA_FLAGS_RELEASE "-O3")
set(CMAKE_CUDA_FLAGS_RELWITHDEBINFO "-O3 -lineinfo")
# The wheel keeps its libraries in lib, nvcc looks in lib64; CMake's own compiler check links.
string(APPEND CMAKE_CUDA_FLAGS_INIT " -L${COSHARD_NVIDIA_DIR}/cu13/lib")
if(COSHARD_CCACHE)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${COSHARD_CCACHE})
endif()
enable_language(CUDA)
# CMake 3.25 does not know yet that nvcc takes C++20 (its own check above must therefore run without).
if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)

add_library(torch_cuda INTERFACE IMPORTED GLOBAL)
target_include_directories(torch_cuda SYSTEM INTERFACE
  ${COSHARD_NVIDIA_DIR}/cu13/include ${COSHARD_NVIDIA_DIR}/nccl/include)
# no-as-needed: libtorch_cuda registers itself with ATen when it is loaded, whether or not we name a symbol of it.
target_link_libraries(torch_cuda INTERFACE torch -Wl,--no-as-needed
  ${COSHARD_TORCH_DIR}/lib/libtorch_cuda.so ${COSHARD_TORCH_DIR}/lib/libc10_cuda.so
  ${COSHARD_NVIDIA_DIR}/nccl/lib/libnccl.so.2 ${COSHARD_NVIDIA_DIR}/cu13/lib/libcudart.so.13)
target_link_options(torch_cuda INTERFACE "LINKER:-rpath,${COSHARD_NVIDIA_DIR}/nccl/lib")
message(STATUS "CUDA module: built, with ${COSHARD_NVCC} (${nvcc_release}) for ${CMAKE_CUDA_ARCHITECTURES}")
