/* A Vulkan driver around Mesa's RADV that compiles and runs nothing, for chips that are not there.
 *
 * RADV makes a device for any chip family that RADV_FORCE_FAMILY names, but such a device has no command
 * streams: from GFX9 on vkBeginCommandBuffer calls a null pointer, and Dawn begins one as soon as it has a device.
 * So every entry point goes through to RADV, but for recording and submitting, which do nothing and succeed.
 *
 *   cc -shared -fPIC -O1 -o null_driver.so null_driver.c -ldl      (no Vulkan headers needed)
 *
 * NULL_DRIVER names RADV's library. compile.ts builds this and writes the manifest that the Vulkan loader wants.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*any_fn)(void);
typedef any_fn (*get_proc_fn)(void *object, const char *name);

static get_proc_fn device_proc_of_radv;

static any_fn radv(const char *name)
{
   static void *library;
   if (!library) {
      const char *path = getenv("NULL_DRIVER");
      library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
      if (!library) {
         fprintf(stderr, "null_driver: %s\n", path ? dlerror() : "NULL_DRIVER is not set");
         abort();
      }
   }
   return (any_fn)dlsym(library, name);
}

static int32_t succeed(void) { return 0; /* VK_SUCCESS; the callers of vkCmd* ignore it */ }

static int does_nothing(const char *name)
{
   static const char *const names[] = {
      "vkBeginCommandBuffer", "vkEndCommandBuffer", "vkResetCommandBuffer", "vkResetCommandPool",
      "vkQueueSubmit", "vkQueueSubmit2", "vkQueueSubmit2KHR", "vkQueueWaitIdle",
      "vkDeviceWaitIdle", "vkWaitForFences", "vkGetFenceStatus",
   };
   if (!strncmp(name, "vkCmd", 5))
      return 1;
   for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
      if (!strcmp(name, names[i]))
         return 1;
   return 0;
}

static any_fn instead_of(const char *name, any_fn real)
{
   return real && does_nothing(name) ? (any_fn)succeed : real;
}

static any_fn device_proc(void *device, const char *name)
{
   return instead_of(name, device_proc_of_radv(device, name));
}

__attribute__((visibility("default"))) any_fn vk_icdGetInstanceProcAddr(void *instance, const char *name)
{
   any_fn real = ((get_proc_fn)radv("vk_icdGetInstanceProcAddr"))(instance, name);
   if (real && !strcmp(name, "vkGetDeviceProcAddr")) {
      device_proc_of_radv = (get_proc_fn)real;
      return (any_fn)device_proc;
   }
   return instead_of(name, real);
}

__attribute__((visibility("default"))) any_fn vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *name)
{
   get_proc_fn get = (get_proc_fn)radv("vk_icdGetPhysicalDeviceProcAddr");
   return get ? get(instance, name) : 0;
}

__attribute__((visibility("default"))) int32_t vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version)
{
   return ((int32_t(*)(uint32_t *))radv("vk_icdNegotiateLoaderICDInterfaceVersion"))(version);
}
