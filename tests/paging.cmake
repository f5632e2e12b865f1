# The reference MMU, and what is held against it.
umbra_unit_test(test_refmmu SOURCES refmmu.c)
umbra_unit_test(test_access_cases SOURCES access_cases.c access_check.c access_soft.c refmmu.c soft_env.c)
