# libtorch from the PyPI wheel, as our own imported targets: the wheel's CMake files insist on a whole system CUDA
# toolkit. Measured in house-style 5: configures in a second, needs no system CUDA.
#   torch       headers, libtorch_cpu, libc10
#   torch_cuda  adds the CUDA libraries of the wheel's NVIDIA packages (only with COSHARD_CUDA)
if(COSHARD_TORCH_ROOT)
  set(torch_candidates ${COSHARD_TORCH_ROOT} ${COSHARD_TORCH_ROOT}/torch)
else()
  file(GLOB torch_candidates ${CMAKE_SOURCE_DIR}/.deps/venv/lib/python3*/site-packages/torch)
endif()
set(COSHARD_TORCH_DIR "")
foreach(candidate ${torch_candidates})
  if(EXISTS ${candidate}/lib/libtorch_cpu.so)
    set(COSHARD_TORCH_DIR ${candidate})
  endif()
endforeach()
if(NOT COSHARD_TORCH_DIR)
  message(FATAL_ERROR "libtorch 2.11 was expected in .deps/venv (run deploy/setup) or in -DCOSHARD_TORCH_ROOT=DIR; "
    "found none. -DCOSHARD_TORCH=OFF builds everything that does without.")
endif()
file(STRINGS ${COSHARD_TORCH_DIR}/include/torch/headeronly/version.h torch_version_line
  REGEX "#define TORCH_VERSION_M(AJOR|INOR) ")
string(REGEX MATCHALL "[0-9]+" torch_version_numbers "${torch_version_line}")
list(JOIN torch_version_numbers "." torch_version)
if(NOT torch_version STREQUAL "2.11")
  message(FATAL_ERROR "libtorch 2.11 was expected in ${COSHARD_TORCH_DIR}, found ${torch_version}")
endif()
get_filename_component(COSHARD_SITE_PACKAGES ${COSHARD_TORCH_DIR} DIRECTORY)
set(COSHARD_NVIDIA_DIR ${COSHARD_SITE_PACKAGES}/nvidia)

add_library(torch INTERFACE IMPORTED GLOBAL)
set_target_properties(torch PROPERTIES
  INTERFACE_INCLUDE_DIRECTORIES
    "${COSHARD_TORCH_DIR}/include;${COSHARD_TORCH_DIR}/include/torch/csrc/api/include")
# disable-new-dtags: RPATH, not RUNPATH, so that the wheel's own transitive libraries are found through us.
target_link_libraries(torch INTERFACE
  ${COSHARD_TORCH_DIR}/lib/libtorch_cpu.so ${COSHARD_TORCH_DIR}/lib/libc10.so)
target_link_options(torch INTERFACE
  "LINKER:--disable-new-dtags,-rpath,${COSHARD_TORCH_DIR}/lib,-rpath,${COSHARD_NVIDIA_DIR}/cu13/lib"
  "LINKER:--allow-shlib-undefined")

if(COSHARD_CUDA)
  include(Cuda)
else()
  message(STATUS "CUDA module: not built (-DCOSHARD_CUDA=ON builds it)")
endif()
