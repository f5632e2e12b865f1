/*
 * libvirt and libxml2, loaded when a domain is first asked for: linked in, their forty libraries
 * would cost every start of umbra some 30 ms. The names below stand for the functions in what was
 * loaded.
 */
#ifndef UMBRA_VMM_LIBVIRT_LV_LOAD_H
#define UMBRA_VMM_LIBVIRT_LV_LOAD_H

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <libxml/parser.h>
#include <libxml/xpath.h>

#include "vmm/errmsg.h"

#define LV_VIRT(X)                                                                                 \
    X(virConnectClose)                                                                             \
    X(virConnectOpen)                                                                              \
    X(virConnectOpenReadOnly)                                                                      \
    X(virDomainFree)                                                                               \
    X(virDomainGetState)                                                                           \
    X(virDomainGetXMLDesc)                                                                         \
    X(virDomainLookupByName)                                                                       \
    X(virDomainMemoryPeek)                                                                         \
    X(virDomainResume)                                                                             \
    X(virDomainSuspend)                                                                            \
    X(virEventAddTimeout)                                                                          \
    X(virEventRegisterDefaultImpl)                                                                 \
    X(virEventRemoveTimeout)                                                                       \
    X(virEventRunDefaultImpl)                                                                      \
    X(virGetLastError)                                                                             \
    X(virGetLastErrorMessage)                                                                      \
    X(virSetErrorFunc)
#define LV_QEMU(X) X(virDomainQemuMonitorCommand)
#define LV_XML(X)                                                                                  \
    X(xmlFreeDoc)                                                                                  \
    X(xmlNodeGetContent)                                                                           \
    X(xmlReadMemory)                                                                               \
    X(xmlXPathEvalExpression)                                                                      \
    X(xmlXPathFreeContext)                                                                         \
    X(xmlXPathFreeObject)                                                                          \
    X(xmlXPathNewContext)

#define LV_POINTER(name) __typeof__(&(name)) p_##name;
struct lv_library {
    LV_VIRT(LV_POINTER)
    LV_QEMU(LV_POINTER)
    LV_XML(LV_POINTER)
    xmlFreeFunc *p_xmlFree; /* a variable */
};
#undef LV_POINTER

/* What was loaded, once for the process. NULL with err filled: a library or a function of it is not
 * on this host. */
const struct lv_library *lv_load(struct errmsg *err);

#endif
